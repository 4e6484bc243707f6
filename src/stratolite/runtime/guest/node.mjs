// The loop a Node sandbox runs: Lambda's semantics for JavaScript handlers, over the Runtime API (adapter.py).
//
// Behaviour follows the public runtime interface client: https://github.com/aws/aws-lambda-nodejs-runtime-interface-client

import fs from 'node:fs'
import http from 'node:http'
import module, { createRequire } from 'node:module'
import path from 'node:path'
import { PassThrough } from 'node:stream'
import { pathToFileURL } from 'node:url'
import util from 'node:util'

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':')
const root = process.env.LAMBDA_TASK_ROOT
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
const api = '/2018-06-01/runtime'
const streaming = Symbol.for('aws.lambda.runtime.handler.response')
// Node has it since its start; what a function starts could not read it.
if (process.env.NODE_EXTRA_CA_CERTS?.startsWith('/proc/self/fd/')) delete process.env.NODE_EXTRA_CA_CERTS
const newlineInside = '\x1e'
let requestId

class RuntimeError extends Error {
  constructor(name, message) {
    super(message)
    this.name = name
  }
}

// -- the Runtime API

function call(method, where, headers, body) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host, port, agent, method, path: api + where, headers }, (answer) => {
      const pieces = []
      answer.on('data', (piece) => pieces.push(piece))
      answer.on('end', () => resolve({ headers: answer.headers, body: Buffer.concat(pieces) }))
      answer.on('error', reject)
    })
    request.on('error', reject)
    if (body && typeof body.pipe === 'function') body.pipe(request)
    else request.end(body)
  })
}

const postError = (where, error) =>
  call('POST', where, { 'Content-Type': 'application/json', 'Lambda-Runtime-Function-Error-Type': error.errorType },
    JSON.stringify(error))

// -- output

function line(level, ...values) {
  const text = util.format(...values).replaceAll('\n', newlineInside)
  fs.writeSync(1, `${new Date().toISOString()}\t${requestId}\t${level}\t${text}\n`)
}
for (const [name, level] of Object.entries({
  log: 'INFO', info: 'INFO', debug: 'DEBUG', warn: 'WARN', error: 'ERROR', trace: 'TRACE', fatal: 'FATAL'
})) console[name] = (...values) => line(level, ...values)

// -- errors

function shape(error) {
  if (!util.types.isNativeError(error) && !(error instanceof Error)) {
    return { errorType: typeof error, errorMessage: String(error), trace: [] }
  }
  return { errorType: error.name, errorMessage: error.message, trace: String(error.stack).split('\n') }
}

function logged(title, error) {
  const { errorType, errorMessage, trace } = shape(error)
  const more = util.types.isNativeError(error) ? { ...error } : {}
  line('ERROR', `${title} \t${JSON.stringify({ errorType, errorMessage, ...more, stack: trace })}`)
}

// -- the handler

async function load(name) {
  const base = path.basename(name)
  const match = /^([^.]*)\.(.*)$/.exec(base)
  if (!match || name.includes('..')) throw new RuntimeError('Runtime.MalformedHandlerName', 'Bad handler')
  const [, moduleName, nested] = match
  const place = path.resolve(root, name.slice(0, -base.length), moduleName)
  const found = await imported(place)
  const handler = nested.split('.').reduce((value, key) => value?.[key], found)
    ?? nested.split('.').reduce((value, key) => value?.[key], found?.default)
  if (handler === undefined || handler === null) {
    throw new RuntimeError('Runtime.HandlerNotFound', `${name} is undefined or not exported`)
  }
  if (typeof handler !== 'function') throw new RuntimeError('Runtime.HandlerNotFound', `${name} is not a function`)
  return handler
}

// A module of JavaScript's own kind is not looked for in NODE_PATH; Lambda does so since Node 18.
function importFrom(folders) {
  if (module.registerHooks) {
    module.registerHooks({
      resolve(specifier, context, next) {
        let failed
        for (const parentURL of [context.parentURL, ...folders]) {
          try {
            return next(specifier, { ...context, parentURL })
          } catch (error) {
            failed ??= error
            if (error.code !== 'ERR_MODULE_NOT_FOUND' || !/^[@\w]/.test(specifier)) throw failed
          }
        }
        throw failed
      }
    })
  } else if (module.register) {
    module.register(`data:text/javascript,${encodeURIComponent(`export async function resolve(specifier, context, next) {
      let failed
      for (const parentURL of [context.parentURL, ...${JSON.stringify(folders)}]) {
        try {
          return await next(specifier, { ...context, parentURL })
        } catch (error) {
          failed ??= error
          if (error.code !== 'ERR_MODULE_NOT_FOUND' || !/^[@\\w]/.test(specifier)) throw failed
        }
      }
      throw failed
    }`)}`)
  }
}

function modulesOutside() {
  const folders = (process.env.NODE_PATH ?? '').split(':')
  return folders.filter((one) => path.basename(one) === 'node_modules' && fs.existsSync(one) && fs.readdirSync(one).length)
}

function missing(error) {
  const text = error.toString()
  const hint = text.includes("'@aws-sdk/") && !modulesOutside().length
    ? '\nThe AWS SDK for JavaScript is not installed on this machine: `stratolite runtime nodejs` puts it where this runtime has it on AWS.' : ''
  return new RuntimeError('Runtime.ImportModuleError', text + hint)
}

async function imported(place) {
  const require = createRequire(pathToFileURL(place))
  try {
    for (const [ending, read] of [['', require], ['.js', required], ['.mjs', real], ['.cjs', require]]) {
      if (fs.existsSync(place + ending) && fs.statSync(place + ending).isFile()) return await read(place + ending)
    }
    return require(place) // a folder with an index.js, or a good error
  } catch (error) {
    if (error instanceof SyntaxError) throw new RuntimeError('Runtime.UserCodeSyntaxError', error.toString())
    if (error?.code === 'MODULE_NOT_FOUND' || error?.code === 'ERR_MODULE_NOT_FOUND') {
      throw missing(error)
    }
    throw error
  }
  function required(file) {
    return isModule(file) ? real(file) : require(file)
  }
  function real(file) {
    const folders = modulesOutside()
    if (folders.length) importFrom(folders.map((one) => pathToFileURL(path.join(one, '..', 'index.js')).href))
    return import(pathToFileURL(file).href)
  }
}

function isModule(file) {
  for (let at = path.dirname(file); ; at = path.dirname(at)) {
    const about = path.join(at, 'package.json')
    if (fs.existsSync(about)) return JSON.parse(fs.readFileSync(about, 'utf8')).type === 'module'
    if (at === path.dirname(at)) return false
  }
}

globalThis.awslambda = {
  streamifyResponse(handler) {
    handler[streaming] = 'streaming'
    return handler
  },
  HttpResponseStream: {
    from(stream, prelude) {
      stream.write(JSON.stringify(prelude))
      stream.write(Buffer.alloc(8))
      return stream
    }
  }
}

function contextOf(headers) {
  const deadline = Number(headers['lambda-runtime-deadline-ms'])
  const client = headers['lambda-runtime-client-context']
  const { env } = process
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: client ? JSON.parse(client) : undefined,
    identity: undefined,
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    awsRequestId: requestId,
    getRemainingTimeInMillis: () => deadline - Date.now()
  }
}

function invoked(handler, event, context) {
  return new Promise((resolve, reject) => {
    let done = false
    const settle = (act, value) => {
      if (done) return
      done = true
      process.off('beforeExit', idle)
      act(value)
    }
    const idle = () => settle(resolve, null) // nothing is left that could still call back
    const callback = (error, value) => {
      const act = error ? () => settle(reject, error) : () => settle(resolve, value)
      if (!context.callbackWaitsForEmptyEventLoop) return setImmediate(act)
      process.off('beforeExit', idle)
      process.once('beforeExit', act)
    }
    context.done = callback
    context.succeed = (value) => callback(null, value)
    context.fail = (error) => callback(error ?? new Error('fail'))
    const returned = handler(event, context, callback)
    if (typeof returned?.then === 'function') {
      returned.then((value) => settle(resolve, value), (error) => settle(reject, error))
    } else {
      process.once('beforeExit', idle)
    }
  })
}

async function streamed(handler, event, context) {
  const out = new PassThrough()
  out.setContentType = () => {}
  const headers = { 'Content-Type': 'application/octet-stream', 'Lambda-Runtime-Function-Response-Mode': 'streaming' }
  let failed
  const pieces = []
  out.on('data', (piece) => pieces.push(piece))
  const ended = new Promise((resolve) => { out.on('end', resolve) })
  try {
    await handler(event, out, context)
    await ended
  } catch (error) {
    failed = error
  }
  if (failed) throw failed
  await call('POST', `/invocation/${requestId}/response`, headers, Buffer.concat(pieces))
}

async function answer(handler, event, context) {
  if (handler[streaming]) return streamed(handler, event, context)
  const value = await invoked(handler, event, context)
  let body
  try {
    body = JSON.stringify(value === undefined ? null : value) ?? 'null'
  } catch {
    throw new RuntimeError('Runtime.MarshalError', 'Unable to stringify response body')
  }
  await call('POST', `/invocation/${requestId}/response`, { 'Content-Type': 'application/json' }, Buffer.from(body))
}

function fatal(title, name, code) {
  process.on(name, (error) => {
    logged(title, error)
    const wrapped = name === 'unhandledRejection'
      ? new RuntimeError('Runtime.UnhandledPromiseRejection', String(error)) : error
    const where = requestId ? `/invocation/${requestId}/error` : '/init/error'
    postError(where, shape(wrapped)).catch(() => {}).finally(() => process.exit(code))
  })
}
fatal('Uncaught Exception', 'uncaughtException', 129)
fatal('Unhandled Promise Rejection', 'unhandledRejection', 128)

let handler
try {
  handler = await load(process.env._HANDLER)
} catch (error) {
  logged('Uncaught Exception', error)
  await postError('/init/error', shape(error))
  process.exit(1)
}
const keptAlive = setInterval(() => {}, 1 << 30)
keptAlive.unref()
for (;;) {
  requestId = undefined
  const next = await call('GET', '/invocation/next')
  requestId = next.headers['lambda-runtime-aws-request-id']
  if (next.headers['lambda-runtime-trace-id']) process.env._X_AMZN_TRACE_ID = next.headers['lambda-runtime-trace-id']
  try {
    await answer(handler, JSON.parse(next.body.toString()), contextOf(next.headers))
  } catch (error) {
    logged('Invoke Error', error)
    await postError(`/invocation/${requestId}/error`, shape(error))
  }
}
