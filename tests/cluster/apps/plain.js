// The answer is `pid word`; a worker of a cluster, whatever else it thinks it is.
const cluster = require('cluster');
if (!cluster.isWorker && !process.env.ALONE) process.exit(3);
if (process.env.WORD === 'broken') throw new Error('this version does not start');
require('http')
  .createServer((request, response) => response.end(`${process.pid} ${process.env.WORD || ''}`))
  .listen(Number(process.argv[2]), '127.0.0.1');
