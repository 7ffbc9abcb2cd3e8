// What a configuration file may use of Node, provided inside the embedded engine. The engine reaches nothing outside: what
// a file asks for (a module, a file's text) is looked up in `facts`; what is not there is noted in `wanted`, the evaluation
// ends, and the caller starts it again with the answer.
(function (input) {
  'use strict';
  const { parse, stringify } = JSON;
  const given = parse(input);
  const facts = given.facts;
  const wanted = [];
  const refused = [];
  const unsupported = [];
  const output = [];
  const modules = Object.create(null);

  const fail = (code, message, syscall) => Object.assign(new Error(`${code}: ${message}`), { code, syscall });

  function fact(kind, ...rest) {
    const key = [kind, ...rest].join('\0');
    if (!(key in facts)) {
      wanted.push(key);
      throw fail('EAGAIN', 'not read yet');
    }
    const found = facts[key];
    if (found.refused) {
      refused.push(found.refused);
      throw fail('EACCES', `${found.refused} is outside the configuration's directories`);
    }
    if (found.error) throw kind === 'module' && found.error === 'ENOENT' ? Object.assign(new Error(`Cannot find module '${rest[1]}'`), { code: 'MODULE_NOT_FOUND' }) : fail(found.error, rest[0]);
    return found.value;
  }

  // path, the POSIX one
  const path = {
    sep: '/',
    delimiter: ':',
    isAbsolute: (p) => p.startsWith('/'),
    normalize(p) {
      const rooted = p.startsWith('/'), parts = [];
      for (const part of p.split('/')) {
        if (part === '..' && parts.length && parts[parts.length - 1] !== '..') parts.pop();
        else if (part === '..' && !rooted) parts.push(part);
        else if (part !== '' && part !== '.' && part !== '..') parts.push(part);
      }
      const joined = parts.join('/') + (parts.length && p.endsWith('/') ? '/' : '');
      return rooted ? '/' + joined : joined || (p.endsWith('/') ? './' : '.');
    },
    join: (...parts) => path.normalize(parts.filter((p) => p !== '').join('/') || '.'),
    resolve(...parts) {
      let result = '';
      for (const part of [...parts].reverse()) {
        if (typeof part !== 'string') throw new TypeError('The "path" argument must be of type string');
        if (part === '') continue;
        result = result ? part + '/' + result : part;
        if (part.startsWith('/')) break;
      }
      if (!result.startsWith('/')) result = given.cwd + '/' + result;
      const plain = path.normalize(result);
      return plain.length > 1 ? plain.replace(/\/$/, '') : plain;
    },
    dirname(p) {
      const cut = p.replace(/\/+$/, '').lastIndexOf('/');
      return cut < 0 ? '.' : cut === 0 ? '/' : p.slice(0, cut);
    },
    basename(p, ext) {
      const base = p.replace(/\/+$/, '').split('/').pop();
      return ext && base.endsWith(ext) && base !== ext ? base.slice(0, -ext.length) : base;
    },
    extname(p) {
      const base = path.basename(p), dot = base.lastIndexOf('.');
      return dot <= 0 ? '' : base.slice(dot);
    },
    relative(from, to) {
      const a = path.resolve(from).split('/').filter(Boolean), b = path.resolve(to).split('/').filter(Boolean);
      let same = 0;
      while (same < a.length && same < b.length && a[same] === b[same]) same += 1;
      return [...a.slice(same).map(() => '..'), ...b.slice(same)].join('/');
    },
    parse(p) {
      const base = path.basename(p), ext = path.extname(p);
      return { root: p.startsWith('/') ? '/' : '', dir: p.includes('/') ? path.dirname(p) : '', base, ext, name: base.slice(0, base.length - ext.length) };
    },
    format: (o) => (o.dir ? o.dir + '/' : o.root || '') + (o.base || (o.name || '') + (o.ext || '')),
    toNamespacedPath: (p) => p,
  };
  path.posix = path;

  // fs, for reading
  const local = (p) => path.resolve(p instanceof URL ? p.pathname : String(p));
  const stats = (s) => ({
    size: s.size, mtimeMs: s.mtime * 1000, mtime: new Date(s.mtime * 1000), mode: s.mode,
    isFile: () => s.type === 'file', isDirectory: () => s.type === 'directory', isSymbolicLink: () => s.type === 'link',
  });
  const stat = (kind) => (p, options) => {
    try {
      return stats(fact(kind, local(p)));
    } catch (error) {
      if (error.code === 'ENOENT' && options && options.throwIfNoEntry === false) return undefined;
      throw error;
    }
  };
  const fs = {
    readFileSync: (p) => fact('read', local(p)),
    existsSync(p) {
      try {
        return Boolean(fact('stat', local(p)));
      } catch (error) {
        if (error.code === 'EAGAIN') throw error;
        return false;
      }
    },
    statSync: stat('stat'),
    lstatSync: stat('lstat'),
    accessSync: (p) => void fact('stat', local(p)),
    realpathSync: (p) => fact('realpath', local(p)),
    readdirSync(p, options) {
      const entries = fact('list', local(p));
      return options && options.withFileTypes
        ? entries.map((e) => ({ name: e.name, parentPath: local(p), path: local(p), ...stats({ size: 0, mtime: 0, mode: 0, type: e.type }) }))
        : entries.map((e) => e.name);
    },
    constants: { F_OK: 0, R_OK: 4, W_OK: 2, X_OK: 1 },
  };
  const later = (f) => async (...args) => f(...args);
  fs.promises = {
    readFile: later(fs.readFileSync), readdir: later(fs.readdirSync), stat: later(fs.statSync), lstat: later(fs.lstatSync),
    access: later(fs.accessSync), realpath: later(fs.realpathSync), constants: fs.constants,
  };

  // the rest of Node that configuration files touch
  const show = (value) => {
    if (typeof value === 'string') return value;
    if (value instanceof Error) return `${value.name}: ${value.message}`;
    if (typeof value === 'function') return `[Function: ${value.name || 'anonymous'}]`;
    try {
      return value === undefined ? 'undefined' : JSON.stringify(value);
    } catch {
      return String(value);
    }
  };
  const say = (...parts) => void output.push(parts.map(show).join(' '));
  const console = { log: say, info: say, warn: say, error: say, debug: say, trace: say, dir: say, table: say, group: say, groupEnd() {}, time() {}, timeEnd() {}, assert() {} };

  const process = {
    env: { ...given.env }, argv: [...given.argv], execArgv: [], execPath: given.execPath, pid: given.pid, ppid: 1,
    platform: given.platform, arch: given.arch, version: 'v20.0.0', versions: { node: '20.0.0' }, release: { name: 'node' }, title: 'rota',
    cwd: () => given.cwd, uptime: () => 0, hrtime: Object.assign(() => [0, 0], { bigint: () => 0n }),
    getuid: () => given.uid, getgid: () => given.gid, geteuid: () => given.uid, getegid: () => given.gid,
    memoryUsage: () => ({ rss: 0, heapTotal: 0, heapUsed: 0, external: 0 }),
    nextTick: (f, ...args) => queueMicrotask(() => f(...args)),
    on: () => process, once: () => process, off: () => process, emitWarning: say,
    stdout: { write: (s) => (say(String(s).replace(/\n$/, '')), true), isTTY: false, columns: 80 },
    stderr: { write: (s) => (say(String(s).replace(/\n$/, '')), true), isTTY: false, columns: 80 },
    exit(code) {
      throw new Error(`the file called process.exit(${code ?? ''})`);
    },
  };

  const os = {
    EOL: '\n', arch: () => given.arch, platform: () => given.platform, type: () => given.os.type, release: () => given.os.release,
    hostname: () => given.os.hostname, homedir: () => given.os.home, tmpdir: () => given.os.tmp, endianness: () => 'LE',
    totalmem: () => given.os.memory, freemem: () => given.os.free, uptime: () => 0, loadavg: () => [...given.os.load],
    availableParallelism: () => given.os.cpus,
    cpus: () => Array.from({ length: given.os.cpus }, () => ({ model: '', speed: 0, times: { user: 0, nice: 0, sys: 0, idle: 0, irq: 0 } })),
    userInfo: () => ({ username: given.os.user, uid: given.uid, gid: given.gid, homedir: given.os.home, shell: null }),
    constants: { signals: {} },
  };

  class URL {
    constructor(text, base) {
      const absolute = /^([a-z][\w+.-]*:)\/\/([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?$/i.exec(String(text));
      if (absolute) {
        const [, protocol, host, pathname, search, hash] = absolute;
        Object.assign(this, { protocol, host, pathname: pathname || '/', search: search || '', hash: hash || '' });
      } else if (base !== undefined) {
        const root = new URL(base);
        const folder = root.pathname.slice(0, root.pathname.lastIndexOf('/') + 1);
        const joined = path.normalize(String(text).startsWith('/') ? String(text) : folder + text);
        Object.assign(this, root, { pathname: joined, search: '', hash: '' });
      } else throw new TypeError('Invalid URL');
      const [, user, name, port] = /^(?:(.*)@)?(.*?)(?::(\d+))?$/.exec(this.host);
      Object.assign(this, { hostname: name, port: port || '', username: (user || '').split(':')[0], origin: `${this.protocol}//${this.host}` });
    }
    get href() {
      return `${this.protocol}//${this.host}${this.pathname}${this.search}${this.hash}`;
    }
    toString() {
      return this.href;
    }
    toJSON() {
      return this.href;
    }
  }
  const url = {
    URL,
    fileURLToPath: (u) => decodeURIComponent(new URL(String(u)).pathname),
    pathToFileURL: (p) => new URL('file://' + encodeURI(path.resolve(p))),
  };

  // dotenv, the one package nearly every such file asks for: same rules, whether it is installed or not
  function parseEnv(text) {
    const found = {};
    const line = /^\s*(?:export\s+)?([\w.-]+)(?:\s*=\s*?|:\s+?)(\s*'(?:\\'|[^'])*'|\s*"(?:\\"|[^"])*"|\s*`(?:\\`|[^`])*`|[^#\r\n]+)?\s*(?:#.*)?$/gm;
    for (const [, name, raw = ''] of String(text).replace(/\r\n?/g, '\n').matchAll(line)) {
      const value = raw.trim(), quote = /^(['"`])[\s\S]*\1$/.exec(value);
      const bare = quote ? value.slice(1, -1) : value;
      found[name] = quote && quote[1] === '"' ? bare.replace(/\\n/g, '\n').replace(/\\r/g, '\r') : bare;
    }
    return found;
  }
  const dotenv = {
    parse: parseEnv,
    populate(target, parsed, { override = false } = {}) {
      for (const [name, value] of Object.entries(parsed)) if (override || !(name in target)) target[name] = value;
    },
    config(options = {}) {
      const target = options.processEnv || process.env;
      const parsed = {};
      try {
        for (const file of [].concat(options.path ?? path.resolve(given.cwd, '.env')))
          for (const [name, value] of Object.entries(parseEnv(fs.readFileSync(file)))) if (options.override || !(name in parsed)) parsed[name] = value;
      } catch (error) {
        if (error.code === 'EAGAIN') throw error;
        return { error, parsed };
      }
      dotenv.populate(target, parsed, options);
      return { parsed };
    },
  };

  const util = {
    inspect: show, isDeepStrictEqual: (a, b) => JSON.stringify(a) === JSON.stringify(b),
    format: (text, ...rest) => [String(text).replace(/%[sdifjoO]/g, (mark) => (rest.length ? show(rest.shift()) : mark)), ...rest.map(show)].join(' '),
  };
  const builtin = {
    path, fs, os, url, util, process, console, dotenv, 'path/posix': path, 'fs/promises': fs.promises,
    module: { createRequire: (from) => requireFrom(path.dirname(from instanceof URL || String(from).startsWith('file:') ? url.fileURLToPath(from) : from)) },
  };

  // CommonJS, and ES modules that were made functions
  function load(file, source, kind) {
    if (file in modules) return modules[file];
    const module = { id: file, filename: file, exports: {}, loaded: false, children: [], paths: [] };
    modules[file] = module;
    try {
      if (kind === 'json') module.exports = JSON.parse(source);
      else run(module, file, source, kind);
      module.loaded = true;
    } catch (error) {
      delete modules[file];
      if (error && typeof error === 'object' && !error.inFile) error.inFile = file;
      throw error;
    }
    return module;
  }
  function run(module, file, source, kind) {
    const folder = path.dirname(file), require = requireFrom(folder);
    const async = kind === 'esm' ? 'async ' : '';
    const body = (0, eval)(`(${async}function (exports, require, module, __filename, __dirname, __import, __exports, __meta, __default_of, __star) {${source}\n})`);
    const meta = { url: 'file://' + encodeURI(file), filename: file, dirname: folder, main: file === given.filename, resolve: (id) => id };
    const bring = async (id) => {
      const found = requireModule(folder, id);
      if (found.pending) await found.pending;
      return found.exports;
    };
    const result = body.call(module.exports, module.exports, require, module, file, folder, bring, module.exports, meta, defaultOf, star);
    if (kind === 'esm') {
      Object.defineProperty(module.exports, '__esModule', { value: true });
      module.pending = result;
    }
  }
  const defaultOf = (m) => (m && m.__esModule && 'default' in m ? m.default : m);
  const star = (to, from) => void Object.keys(from).forEach((k) => k === 'default' || k in to || (to[k] = from[k]));

  function requireModule(folder, id) {
    const name = String(id).replace(/^node:/, '');
    if (name === 'dotenv/config') {
      dotenv.config();
      return { exports: {} };
    }
    if (Object.hasOwn(builtin, name)) return { exports: builtin[name] };
    if (given.builtins.includes(name)) {
      unsupported.push(name);
      throw fail('ERR_UNKNOWN_BUILTIN_MODULE', `the module "${name}" needs node`);
    }
    const found = fact('module', folder, name);
    return load(found.path, found.source, found.kind);
  }
  function requireFrom(folder) {
    const require = (id) => requireModule(folder, id).exports;
    require.resolve = (id) => (Object.hasOwn(builtin, id) ? id : fact('module', folder, id).path);
    require.cache = modules;
    require.main = undefined;
    return require;
  }

  Object.assign(globalThis, { process, console, URL, global: globalThis, structuredClone: (v) => JSON.parse(JSON.stringify(v)) });

  const state = { done: false };
  const plain = (key, value) => (typeof value === 'bigint' ? String(value) : value instanceof RegExp ? value.source : value);
  async function evaluate() {
    const module = load(given.filename, given.source, given.kind);
    if (module.pending) await module.pending;
    let result = module.exports;
    if (result && result.__esModule) {
      const { default: main, ...named } = result;
      result = main === undefined ? named : main;
    }
    if (typeof result === 'function') result = result();
    return await result;
  }
  evaluate().then((value) => stringify(value, plain)).then(
    (value) => Object.assign(state, { done: true, value }),
    (error) => {
      const object = error && typeof error === 'object';
      Object.assign(state, {
        done: true,
        error: object && error.message !== undefined ? `${error.name}: ${error.message}` : show(error),
        // An error of our own making would point into this file.
        stack: object && !error.code && typeof error.stack === 'string' ? error.stack : '',
        inFile: (object && error.inFile) || given.filename,
      });
    },
  );
  return () => stringify({ ...state, wanted, refused, unsupported, output });
})
