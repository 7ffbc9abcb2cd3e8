// Listens on the socket given by LISTEN_FDS. The answer is the pid.
require('http')
  .createServer((request, response) => response.end(String(process.pid)))
  .listen({ fd: 3 });
