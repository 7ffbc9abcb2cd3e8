// Loaded by Node itself (--require) in the workers of a rota cluster: a worker that leaves stops accepting without cutting
// anybody off, and one whose rota has died goes on serving. Node 16 and newer.
'use strict';
(() => {
  const former = process.env.ROTA_FORMER_NODE_OPTIONS;
  delete process.env.ROTA_FORMER_NODE_OPTIONS;
  if (former) process.env.NODE_OPTIONS = former;
  else delete process.env.NODE_OPTIONS;

  const cluster = require('cluster');
  if (!require('worker_threads').isMainThread || !process.channel || !cluster.isWorker) return;

  // Without this a worker ends at once when its channel does, that is when rota dies.
  process.prependListener('disconnect', () => {
    if (cluster.worker) cluster.worker.exitedAfterDisconnect = true;
  });

  const net = require('net');
  const servers = new Set();
  let draining = false;

  const listen = net.Server.prototype.listen;
  net.Server.prototype.listen = function (...args) {
    servers.add(this);
    this.once('close', () => servers.delete(this));
    return listen.apply(this, args);
  };

  require('diagnostics_channel')
    .channel('http.server.request.start')
    .subscribe(({ response }) => {
      if (draining) response.shouldKeepAlive = false;
    });

  // Takes the place of a handle that is closed: the server object looks open, so that the app's own close() works later.
  const placeholder = (handle) => {
    const address = {};
    if (handle.getsockname) handle.getsockname(address);
    return {
      close(callback) {
        if (callback) setImmediate(() => callback.call(this));
      },
      ref() {},
      unref() {},
      hasRef: () => false,
      getAsyncId: () => 0,
      getsockname(out) {
        Object.assign(out, address);
        return 0;
      },
    };
  };

  const stopAccepting = (server) => {
    const handle = server._handle;
    if (!handle || !handle.close) return;
    server._handle = placeholder(handle);
    handle.close();
  };

  const drain = (idleAfter) => {
    if (draining) return;
    draining = true;
    servers.forEach(stopAccepting);
    const began = Date.now();
    let closedIdle = false;
    const timer = setInterval(() => {
      let open = 0;
      for (const server of servers) open += server._connections || 0;
      if (open === 0) {
        clearInterval(timer);
        if (process.connected) process.send({ cmd: 'NODE_ROTA', act: 'drained' }, () => {});
      } else if (!closedIdle && Date.now() - began >= idleAfter) {
        closedIdle = true;
        for (const server of servers) if (server.closeIdleConnections) server.closeIdleConnections();
      }
    }, 20);
    timer.unref();
  };

  process.on('internalMessage', (message) => {
    if (!message || message.cmd !== 'NODE_ROTA') return;
    if (message.act === 'drain') {
      const signal = message.signal;
      const catches = typeof signal === 'string' && process.listenerCount(signal) > 0;
      process.send({ cmd: 'NODE_ROTA', act: 'draining', catches }, () => {});
      drain(message.ms);
    }
  });
})();
