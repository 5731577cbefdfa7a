/**
 * The shop: three small services and a client in one program, the image `isthmus/shop:demo` of the demo.
 *
 *   storefront -> checkout -> inventory          load (the client that measures)
 *
 * Each service answers with the names of the pods that took part, so that a client can count for itself where its
 * requests went. Calls leave through `http_proxy`, which the mesh sets in every meshed pod. Plain Node, no mesh library.
 */
import { runLoad } from './load.ts'
import { runService } from './service.ts'

const [role = '', ...rest] = process.argv.slice(2)

switch (role) {
  case 'service':
    runService()
    break
  case 'load':
    runLoad()
    break
  default:
    process.stderr.write(`shop: unknown role "${[role, ...rest].join(' ')}"; use: service | load\n`)
    process.exitCode = 2
}
