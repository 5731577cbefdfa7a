/** Filters of HTTPRoutes and GRPCRoutes: one field for each type, and the field that the type names has to be there. */
import { z } from 'zod'
import { celRules, type CelRule } from '../definition.ts'
import { atomic, backendObjectRef, localRef, mapBy, portNumber, preciseHostname } from './common.ts'

const headerName = () =>
  z
    .string()
    .min(1)
    .max(256)
    .regex(/^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$/)
const headerValue = () =>
  z
    .string()
    .min(1)
    .max(4_096)
    .regex(/^[!-~]+([\t ]?[!-~]+)*$/)
const headers = () =>
  z
    .array(z.strictObject({ name: headerName(), value: headerValue() }))
    .max(16)
    .meta(mapBy('name'))

export const headerModifier = () =>
  z.strictObject({
    set: headers().exactOptional(),
    add: headers().exactOptional(),
    remove: z.array(z.string().max(256)).max(16).meta({ 'x-kubernetes-list-type': 'set' }).exactOptional(),
  })

export const requestMirror = () =>
  z
    .strictObject({
      backendRef: backendObjectRef(),
      percent: z.number().int().min(0).max(100).exactOptional(),
      fraction: z
        .strictObject({ numerator: int32(0), denominator: int32(1).default(100) })
        .meta(
          celRules({
            rule: 'self.numerator <= (has(self.denominator) ? self.denominator : 100)',
            message: 'is more than the whole',
          }),
        )
        .exactOptional(),
    })
    .meta(
      celRules({
        rule: '!has(self.percent) || !has(self.fraction)',
        message: 'percent and fraction exclude each other',
      }),
    )

function int32(min: number) {
  return z.number().int().min(min).max(2_147_483_647)
}

const pathModifier = () =>
  z
    .strictObject({
      type: z.enum(['ReplaceFullPath', 'ReplacePrefixMatch']),
      replaceFullPath: z.string().max(1_024).exactOptional(),
      replacePrefixMatch: z.string().max(1_024).exactOptional(),
    })
    .meta(
      celRules(
        { rule: "(self.type == 'ReplaceFullPath') == has(self.replaceFullPath)", message: 'type and field differ' },
        {
          rule: "(self.type == 'ReplacePrefixMatch') == has(self.replacePrefixMatch)",
          message: 'type and field differ',
        },
      ),
    )

export const requestRedirect = () =>
  z.strictObject({
    scheme: z.enum(['http', 'https']).exactOptional(),
    hostname: preciseHostname().exactOptional(),
    path: pathModifier().exactOptional(),
    port: portNumber().exactOptional(),
    statusCode: z
      .number()
      .int()
      .min(301)
      .max(308)
      .default(302)
      .meta(celRules({ rule: 'self in [301, 302, 303, 307, 308]', message: 'is no redirect that is known' })),
  })

const urlRewrite = () =>
  z.strictObject({ hostname: preciseHostname().exactOptional(), path: pathModifier().exactOptional() })

const set = { 'x-kubernetes-list-type': 'set' } as const
const ANY_ALONE = celRules({ rule: "size(self) <= 1 || !self.exists(one, one == '*')", message: '* stands alone' })
const fieldNames = () => z.array(headerName()).max(64).meta(set)
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'] as const
export const method = () => z.enum(METHODS)

const cors = () =>
  z.strictObject({
    allowOrigins: z
      .array(
        z
          .string()
          .min(1)
          .max(253)
          .regex(/(^\*$)|(^https?:\/\/(((\*\.)?([a-zA-Z0-9-]+\.)*[a-zA-Z0-9-]+|\*)(:[0-9]{1,5})?)$)/),
      )
      .max(64)
      .meta({ ...set, ...ANY_ALONE })
      .exactOptional(),
    allowCredentials: z.boolean().exactOptional(),
    allowMethods: z
      .array(z.enum([...METHODS, '*']))
      .max(9)
      .meta({ ...set, ...ANY_ALONE })
      .exactOptional(),
    allowHeaders: fieldNames()
      .meta({ ...set, ...ANY_ALONE })
      .exactOptional(),
    exposeHeaders: fieldNames().exactOptional(),
    maxAge: int32(1).default(5),
  })

/** Not run; here so that its fields are known by name. */
const externalAuth = () =>
  z.strictObject({
    protocol: z.enum(['HTTP', 'GRPC']),
    backendRef: backendObjectRef(),
    grpc: z
      .strictObject({ allowedHeaders: z.array(z.string().max(256)).max(64).meta(set).exactOptional() })
      .exactOptional(),
    http: z
      .strictObject({
        path: z.string().max(1_024).exactOptional(),
        allowedHeaders: z.array(z.string().max(256)).max(64).meta(set).exactOptional(),
        allowedResponseHeaders: z.array(z.string().max(256)).max(64).meta(set).exactOptional(),
      })
      .exactOptional(),
    forwardBody: z.strictObject({ maxSize: z.number().int().exactOptional() }).exactOptional(),
  })

const FIELDS = {
  requestHeaderModifier: 'RequestHeaderModifier',
  responseHeaderModifier: 'ResponseHeaderModifier',
  requestMirror: 'RequestMirror',
  requestRedirect: 'RequestRedirect',
  urlRewrite: 'URLRewrite',
  cors: 'CORS',
  externalAuth: 'ExternalAuth',
  extensionRef: 'ExtensionRef',
} as const

const agreement = (fields: readonly (keyof typeof FIELDS)[]) =>
  celRules(
    ...fields.map((field) => ({
      rule: `(self.type == '${FIELDS[field]}') == has(self.${field})`,
      message: `type ${FIELDS[field]} and field ${field} go together`,
    })),
  )

const once = (...types: readonly string[]): CelRule[] =>
  types.map((type) => ({
    rule: `size(self.filter(f, f.type == '${type}')) <= 1`,
    message: `${type} is there more than once`,
  }))

const GRPC_FIELDS = ['requestHeaderModifier', 'responseHeaderModifier', 'requestMirror', 'extensionRef'] as const

const shared = () => ({
  requestHeaderModifier: headerModifier().exactOptional(),
  responseHeaderModifier: headerModifier().exactOptional(),
  requestMirror: requestMirror().exactOptional(),
  extensionRef: localRef().exactOptional(),
})

export const httpFilters = () =>
  z
    .array(
      z
        .strictObject({
          type: z.enum(Object.values(FIELDS) as [string, ...string[]]),
          ...shared(),
          requestRedirect: requestRedirect().exactOptional(),
          urlRewrite: urlRewrite().exactOptional(),
          cors: cors().exactOptional(),
          externalAuth: externalAuth().exactOptional(),
        })
        .meta(agreement(Object.keys(FIELDS) as (keyof typeof FIELDS)[])),
    )
    .max(16)
    .meta({
      ...atomic,
      ...celRules(...once('RequestHeaderModifier', 'ResponseHeaderModifier', 'RequestRedirect', 'URLRewrite', 'CORS'), {
        rule: "!(self.exists(f, f.type == 'RequestRedirect') && self.exists(f, f.type == 'URLRewrite'))",
        message: 'RequestRedirect and URLRewrite exclude each other',
      }),
    })

export const grpcFilters = () =>
  z
    .array(
      z
        .strictObject({ type: z.enum(GRPC_FIELDS.map((field) => FIELDS[field])), ...shared() })
        .meta(agreement(GRPC_FIELDS)),
    )
    .max(16)
    .meta({ ...atomic, ...celRules(...once('RequestHeaderModifier', 'ResponseHeaderModifier')) })

/** Conditions on headers and query parameters. */
export const valueMatches = (valueChars: number) =>
  z
    .array(
      z.strictObject({
        type: z.enum(['Exact', 'RegularExpression']).default('Exact'),
        name: headerName(),
        value: z.string().min(1).max(valueChars),
      }),
    )
    .max(16)
    .meta(mapBy('name'))

export const sessionPersistence = () =>
  z.strictObject({
    sessionName: z.string().max(128).exactOptional(),
    absoluteTimeout: z.string().max(28).exactOptional(),
    type: z.enum(['Cookie', 'Header']).default('Cookie'),
    cookieConfig: z.strictObject({ lifetimeType: z.enum(['Permanent', 'Session']).default('Session') }).exactOptional(),
  })
