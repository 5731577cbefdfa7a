/**
 * The HTTP/2 server that h2spec judges: the proxy's codec with an application that answers every request with a short
 * text once it has ended. Run alone it prints its port: `node test/conformance/h2spec/server.ts`.
 */
import { h2Server, listen, recording, respondText, type Listening } from '../../harness/codec.ts'

export function startH2specServer(): Promise<Listening> {
  return listen((socket) => {
    h2Server(
      socket,
      recording((request) => respondText(request.stream, 200, 'Every request gets this answer.\n')),
    )
  })
}

if (import.meta.main) {
  const server = await startH2specServer()
  process.stdout.write(`${server.port}\n`)
}
