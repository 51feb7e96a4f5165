// Forks the guest `ipc_peer`: `node ipc_parent.cjs <scenario> <nodule> <module>`; prints what becomes of it.
'use strict';

const { fork } = require('child_process');
const dgram = require('dgram');
const fs = require('fs');
const net = require('net');

const [scenario, execPath, module_, ...args] = process.argv.slice(2);
const print = (line) => fs.writeSync(1, `${line}\n`);
const child = fork(module_, args, { execPath, silent: true });
for (const event of ['disconnect', 'exit']) {
  child.on(event, (...values) => print([event, ...values].join(' ')));
}
child.on('error', (error) => print(`error ${error.code} ${error.message}`));
let said = '';
child.stdout.on('data', (chunk) => { said += chunk; });
child.stdout.on('end', () => print(`said ${JSON.stringify(said)}`));

/** The next message. */
const next = () => new Promise((resolve) => child.once('message', (message, handle) => resolve({ message, handle })));
const ask = async (message, handle) => {
  const answer = next();
  child.send(message, handle);
  return answer;
};
const show = ({ message }) => print(JSON.stringify(message));
const listening = (server) => new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

/** What comes over a connection to a port, to its end. */
const talk = (port) => new Promise((resolve) => {
  let text = '';
  const socket = net.connect(port, '127.0.0.1');
  socket.on('data', (chunk) => { text += chunk; });
  socket.on('end', () => socket.end());
  socket.on('close', () => resolve(text));
});

const scenarios = {
  async messages() {
    for (const message of [1, 'two', null, true, { a: [null, 'ä\n'] }, [-0, 1.5]]) show(await ask(message));
    child.disconnect();
    print(`connected ${child.connected}`);
  },
  async text() {
    const { message } = await ask({ do: 'text', n: 400000 });
    print(`${message.text.length} ${message.text === 'ä'.repeat(400000)}`);
    const echo = await ask('ö'.repeat(400000));
    print(`${echo.message.echo.length} ${echo.message.echo === 'ö'.repeat(400000)}`);
    child.disconnect();
  },
  async child_disconnect() { child.send({ do: 'disconnect' }); },
  async exit() { child.send({ do: 'exit', code: 7 }); },
  async panic() { child.send({ do: 'panic' }); },
  async signal() { child.send({ do: 'kill', signal: 'SIGTERM' }); },
  async killed() { print(`kill ${child.kill('SIGKILL')}`); },
  async count() {
    let seen = 0;
    child.on('message', ({ index }) => { seen += index === seen ? 1 : 1e9; });
    child.on('disconnect', () => print(`seen ${seen}`));
    child.send({ do: 'count_and_exit', n: 5000 });
  },
  async flood() {
    let seen = 0;
    child.on('message', ({ echo }) => {
      seen += echo === seen ? 1 : 1e9;
      if (seen !== 5000) return;
      print(`seen ${seen}`);
      child.disconnect();
    });
    for (let number = 0; number < 5000; number += 1) child.send(number);
  },
  async ref() {
    show(await ask({ do: 'ref' }));
    show(await ask({ do: 'unref' }));
  },
  async env() {
    show(await ask({ do: 'env' }));
    child.disconnect();
  },
  async callback() {
    child.on('message', (message) => {
      print(JSON.stringify(message));
      if (message.written) child.disconnect();
    });
    child.send({ do: 'callback' });
  },
  async server() {
    const server = net.createServer();
    await listening(server);
    const { port } = server.address();
    const { message, handle } = await ask('a server', server);
    server.close();
    print(`${JSON.stringify(message)} ${handle instanceof net.Server} ${handle.address().port === port}`);
    handle.on('connection', (socket) => socket.end('from the server that came back'));
    print(await talk(port));
    handle.close();
    child.disconnect();
  },
  async socket() {
    const server = net.createServer(async (socket) => {
      const { message, handle } = await ask('a socket', socket);
      print(`${JSON.stringify(message)} ${handle instanceof net.Socket}`);
      handle.end('over the socket that came back');
      server.close();
    });
    await listening(server);
    print(await talk(server.address().port));
    child.disconnect();
  },
  async dgram() {
    const socket = dgram.createSocket('udp4');
    await new Promise((resolve) => socket.bind(0, '127.0.0.1', resolve));
    const { port } = socket.address();
    const { message, handle } = await ask('a datagram socket', socket);
    // Both are the same for the system: it would read what is for the other one.
    socket.close();
    print(`${JSON.stringify(message)} ${handle instanceof dgram.Socket} ${handle.address().port === port}`);
    const got = new Promise((resolve) => handle.once('message', (bytes) => resolve(bytes.toString())));
    const sender = dgram.createSocket('udp4');
    sender.send('a datagram', port, '127.0.0.1', () => sender.close());
    print(await got);
    handle.close();
    child.disconnect();
  },
  async keep() {
    const server = net.createServer();
    await listening(server);
    const handles = [];
    child.on('message', (message, handle) => {
      print(`${JSON.stringify(message)} ${handle instanceof net.Server}`);
      handles.push(handle);
      if (handles.length !== 2) return;
      handles.forEach((one) => one.close());
      server.close();
      child.disconnect();
    });
    child.send({ keep: true }, server);
  },
  async native() {
    const server = net.createServer();
    await listening(server);
    const { port } = server.address();
    const { message, handle } = await ask('a raw handle', server._handle);
    server.close();
    print(JSON.stringify(message));
    const again = net.createServer((socket) => socket.end('from the raw handle'));
    await new Promise((resolve) => again.listen(handle, resolve));
    print(await talk(port));
    again.close();
    child.disconnect();
  },
  /** Messages and handles do not overtake each other. */
  async mixed() {
    const server = net.createServer();
    await listening(server);
    let seen = 0;
    const order = [];
    child.on('message', ({ echo, kind }, handle) => {
      order.push(echo);
      if (kind) handle.close();
      seen += 1;
      if (seen !== 60) return;
      print(`in order ${order.every((value, index) => value === index)}`);
      server.close();
      child.disconnect();
    });
    for (let number = 0; number < 60; number += 1) {
      if (number % 3 === 0) child.send(number, server, { keepOpen: true });
      else child.send(number);
    }
  },
};

next().then(({ message }) => {
  print(JSON.stringify(message));
  return scenarios[scenario]();
});
