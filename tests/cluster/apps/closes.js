// Closes its server when told by SIGUSR2, and lives on. The answer is the pid.
const server = require('http')
  .createServer((request, response) => response.end(String(process.pid)))
  .listen(Number(process.argv[2]), '127.0.0.1');
process.on('SIGUSR2', () => {
  server.close(() => console.log('closed'));
  if (server.closeIdleConnections) server.closeIdleConnections();
});
setInterval(() => {}, 1000);
