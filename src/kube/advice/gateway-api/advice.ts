/** What is known of the Gateway API's kinds beyond their schemas, whose CEL rules say most of what an object may be. */
import { GATEWAY_CLASSES, GATEWAYS, GRPC_ROUTES, HTTP_ROUTES, TCP_ROUTES, TLS_ROUTES } from '../../kinds/gateway-api.ts'
import { adviceOn, type Area } from '../area.ts'
import { conflicting, missingReferences, overruled } from './lint.ts'
import { grpcPatternFlaws, httpPatternFlaws } from './patterns.ts'
import {
  GATEWAY_CLASS_UNSUPPORTED,
  GATEWAY_UNSUPPORTED,
  GRPC_ROUTE_UNSUPPORTED,
  HTTP_ROUTE_UNSUPPORTED,
  STREAM_ROUTE_UNSUPPORTED,
} from './unsupported.ts'

export const GATEWAY_API_ADVICE: Area = {
  kinds: [
    adviceOn(HTTP_ROUTES, { rules: [httpPatternFlaws], unsupported: HTTP_ROUTE_UNSUPPORTED }),
    adviceOn(GRPC_ROUTES, { rules: [grpcPatternFlaws], unsupported: GRPC_ROUTE_UNSUPPORTED }),
    adviceOn(TLS_ROUTES, { unsupported: STREAM_ROUTE_UNSUPPORTED }),
    adviceOn(TCP_ROUTES, { unsupported: STREAM_ROUTE_UNSUPPORTED }),
    adviceOn(GATEWAYS, { unsupported: GATEWAY_UNSUPPORTED }),
    adviceOn(GATEWAY_CLASSES, { unsupported: GATEWAY_CLASS_UNSUPPORTED }),
  ],
  setRules: [missingReferences, overruled, conflicting],
}
