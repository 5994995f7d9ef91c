// A worker: the suite's origin. Its handlers are the suite's; only the socket is ours, because the suite's
// server listens on every address of the machine and on a port that has to be chosen beforehand.
import http from 'node:http'
import { parentPort } from 'node:worker_threads'
import config from 'http-cache-tests/server/handle-config.mjs'
import state from 'http-cache-tests/server/handle-state.mjs'
import test from 'http-cache-tests/server/handle-test.mjs'

const handlers = { config, state, test }

const server = http.createServer((request, response) => {
  const [, first, ...rest] = new URL(request.url, 'http://origin').pathname.split('/')
  const handle = handlers[first]
  endWithConnection(response)
  if (handle) handle(rest, request, response)
  else response.writeHead(404).end()
})
// A message in an unknown transfer coding ends where its connection does. The suite's server closes it
// when it has been idle for five seconds; this one never gets there, so it closes at once.
function endWithConnection (response) {
  const setHeader = response.setHeader.bind(response)
  response.setHeader = (name, value) => {
    if (name.toLowerCase() === 'transfer-encoding') response.shouldKeepAlive = false
    return setHeader(name, value)
  }
}

// Longer than any run: whether an idle connection is closed must not depend on the speed of the machine.
server.keepAliveTimeout = 600_000
server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port))
