// Listens in every way Node knows, and prints what came of it as one line of JSON. Argument: a directory for a unix socket.
const cluster = require('cluster');
const dgram = require('dgram');
const http = require('http');
const net = require('net');

const said = { worker: cluster.isWorker, id: cluster.worker && cluster.worker.id, number: process.env.NODE_APP_INSTANCE };
const answer = (request, response) => response.end(String(process.pid));
const listen = (server, ...place) =>
  new Promise((done) => server.once('error', (error) => done(error.code)).listen(...place, () => done(server.address())));

(async () => {
  const any = await listen(http.createServer(answer), 0);
  said.any = any.port;
  said.other = (await listen(http.createServer(answer), 0, '127.0.0.1')).port;
  said.again = await listen(net.createServer(), any.port);
  said.six = (await listen(http.createServer(answer), 0, '::1')).address;
  said.path = await listen(http.createServer(answer), `${process.argv[2]}/web.sock`);
  said.udp = await new Promise((done) => {
    const socket = dgram.createSocket('udp4', (data, from) => socket.send(String(process.pid), from.port, from.address));
    socket.bind(0, '127.0.0.1', () => done(socket.address().port));
  });
  said.fd = await listen(net.createServer(), { fd: 0 });
  said.clean = !Object.keys(process.env).some((name) => /^NODE_(CHANNEL|UNIQUE|OPTIONS)|^ROTA_FORMER/.test(name));
  console.log(JSON.stringify(said));
  process.on('message', (message) => {
    if (message === 'shutdown') cluster.worker.disconnect();
  });
  process.send('ready');
})();
