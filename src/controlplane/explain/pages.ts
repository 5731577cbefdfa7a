/**
 * The pages behind `isthmus tls-check`, `describe`, `proxy-config` and `proxy-status POD`. Each says of which objects it
 * speaks, so that whoever may read those alone is shown no others (access.ts).
 */
import type { KubeObject } from '../../kube/object.ts'
import { JSON_TYPE, type Page, type PageHandler, TEXT } from '../../runtime/pages.ts'
import type { AdsServer } from '../../xds/server.ts'
import type { Asked } from '../access.ts'
import type { Snapshot } from '../observe/facts.ts'
import type { ProxyClient } from '../push.ts'
import { podReport } from './describe-pod.ts'
import { serviceReport } from './describe-service.ts'
import { callersNamed, readName } from './names.ts'
import { configText, proxyReport } from './proxy-config.ts'
import { tlsReport } from './tls-check.ts'
import { Views } from './views.ts'

export interface ExplainParts {
  readonly observer: { readonly snapshot: Snapshot | undefined; objects(): readonly KubeObject[] }
  readonly ads: Pick<AdsServer<ProxyClient>, 'inspect'>
}

export interface ExplainPage {
  readonly page: PageHandler
  /** What the cluster is asked about where the page as a whole is not open to the reader. */
  readonly asks: (query: URLSearchParams) => readonly Asked[]
}

const json = (value: unknown): Page => ({ type: JSON_TYPE, body: `${JSON.stringify(value)}\n` })
const missing = (what: string): Page => ({ type: TEXT, status: 404, body: `${what}\n` })
const wrong = (what: string): Page => ({ type: TEXT, status: 400, body: `${what}\n` })
const NOT_YET: Page = { type: TEXT, status: 503, body: 'the cluster has not been seen yet\n' }

const text = (query: URLSearchParams, name: string): string => query.get(name) ?? ''

/** `name` may bring its own namespace. */
function named(query: URLSearchParams, parameter: string, resource: string): Asked {
  const { name, namespace } = readName(text(query, parameter), text(query, 'namespace'))
  return { resource, namespace, name }
}

export function explainPages({ observer, ads }: ExplainParts): Readonly<Record<string, ExplainPage>> {
  const views = new Views()
  const known = (answer: (snapshot: Snapshot, query: URLSearchParams) => Page): PageHandler => {
    return ({ query }) => (observer.snapshot === undefined ? NOT_YET : answer(observer.snapshot, query))
  }
  return {
    '/debug/tls': {
      asks: (query) => [named(query, 'caller', 'tlschecks')],
      page: known((snapshot, query) => tlsPage(views, snapshot, query)),
    },
    '/debug/describe': {
      asks: (query) => [
        named(query, 'name', 'descriptions'),
        ...(query.has('from') ? [named(query, 'from', 'descriptions')] : []),
      ],
      page: known((snapshot, query) => describePage(views, snapshot, { query, objects: () => observer.objects() })),
    },
    '/debug/proxy': {
      asks: (query) => [named(query, 'pod', 'proxyconfigs')],
      page: ({ query }) => proxyPage(ads, query),
    },
  }
}

function tlsPage(views: Views, snapshot: Snapshot, query: URLSearchParams): Page {
  const port = text(query, 'port')
  if (port !== '' && !/^[1-9][0-9]{0,4}$/.test(port)) return wrong(`port ${port} is no port`)
  const question = {
    caller: text(query, 'caller'),
    namespace: text(query, 'namespace'),
    ...(query.has('service') && { service: text(query, 'service') }),
    ...(port !== '' && { port: Number(port) }),
  }
  const report = tlsReport(views, snapshot, question)
  return report === undefined
    ? missing(`no pod, and no service with pods, is called ${question.caller} in namespace ${question.namespace}`)
    : json(report)
}

interface DescribeInput {
  readonly query: URLSearchParams
  readonly objects: () => readonly KubeObject[]
}

function describePage(views: Views, snapshot: Snapshot, { query, objects }: DescribeInput): Page {
  const [kind, name, namespace] = [text(query, 'kind'), text(query, 'name'), text(query, 'namespace')]
  if (kind !== 'service' && kind !== 'pod') return wrong('kind is service or pod')
  const [from] = query.has('from') ? callersNamed(snapshot, text(query, 'from'), namespace) : []
  if (query.has('from') && from === undefined) return missing(`no pod is called ${text(query, 'from')}`)
  const question = { name, namespace, ...(from !== undefined && { from }) }
  const report =
    kind === 'pod'
      ? podReport(views, snapshot, question, objects())
      : serviceReport(views, snapshot, question, objects())
  return report === undefined ? missing(`no ${kind} is called ${name} in namespace ${namespace}`) : json(report)
}

/** Only the replica that a proxy is connected to knows what it has. `content=config` brings what was sent too. */
function proxyPage(ads: ExplainParts['ads'], query: URLSearchParams): Page {
  const { name, namespace } = readName(text(query, 'pod'), text(query, 'namespace'))
  // An agent asks for the bundle alone, beside the proxy that is meant.
  const [found] = ads.inspect(
    (client) => client.namespace === namespace && client.pod === name && client.role !== 'agent',
  )
  if (found === undefined) return missing(`pod ${namespace}/${name} is not connected here`)
  const { config } = found
  const shown = query.get('content') === 'config' && config !== undefined ? { config: configText(config.config) } : {}
  return json({ proxy: proxyReport(found), ...shown })
}
