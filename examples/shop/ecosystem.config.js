const path = require('path');

const shared = {
  cwd: __dirname,
  env: {
    PORT: process.env.PORT || 8000,
    SHOP_DB: path.join(__dirname, 'var', 'shop.db'),
    SHOP_LOG: 'debug',
  },
  env_production: {
    SHOP_LOG: 'info',
    SHOP_ENV: 'production',
  },
};

const scraper = (name, script, cron) => ({
  ...shared,
  name,
  script,
  cron_restart: cron,
  autorestart: false,
  max_memory_restart: '150M',
  kill_timeout: 5000,
  out_file: `logs/${name}-out.log`,
  error_file: `logs/${name}-error.log`,
  time: true,
});

module.exports = {
  apps: [
    {
      ...shared,
      name: 'api',
      script: 'api.py',
      max_memory_restart: '300M',
      kill_timeout: 5000,
      max_restarts: 10,
      min_uptime: '5s',
      out_file: 'logs/api-out.log',
      error_file: 'logs/api-error.log',
    },
    {
      ...shared,
      name: 'worker',
      script: 'worker.py',
      args: ['--poll', '0.5'],
      restart_delay: 1000,
      max_memory_restart: '200M',
      kill_timeout: 8000, // an order that is being processed is finished first
      out_file: 'logs/worker-out.log',
      error_file: 'logs/worker-error.log',
      time: true,
    },
    scraper('price-snapshot', 'price_snapshot.py', '0 2 * * *'),
    scraper('stock-scraper', 'stock_scraper.py', '*/30 * * * *'),
    scraper('review-scraper', 'review_scraper.py', '15 * * * *'),
  ],
};
