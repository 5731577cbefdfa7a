/** What /etc/resolv.conf says (resolv.conf(5)), as far as a forwarder needs it. Pure but for reading the file. */
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'

export interface Resolvers {
  readonly servers: readonly NameServer[]
  /** Lower case, without final dots. */
  readonly search: readonly string[]
}

export interface NameServer {
  readonly host: string
  readonly port: number
}

/** As many as glibc asks. */
const SERVERS_MAX = 3
/** Kubernetes allows so many. */
const SEARCH_MAX = 32
const TEXT_CHARACTERS_MAX = 65_536
const DNS_PORT = 53

/** A machine without the file resolves nothing beyond what is our own. */
export async function readResolvers(path: string): Promise<Resolvers> {
  return parseResolvConf(await readFile(path, 'utf8').catch(() => ''))
}

export function parseResolvConf(text: string): Resolvers {
  const servers: NameServer[] = []
  let search: readonly string[] = []
  for (const line of text.slice(0, TEXT_CHARACTERS_MAX).split('\n')) {
    const [keyword, ...values] = line
      .replace(/[#;].*$/, '')
      .trim()
      .split(/\s+/)
    const [first = ''] = values
    if (keyword === 'nameserver' && isIP(first) !== 0) servers.push({ host: first, port: DNS_PORT })
    // The last of these lines counts.
    if (keyword === 'search' || keyword === 'domain') search = values.slice(0, SEARCH_MAX).map(bareDomain)
  }
  return { servers: servers.slice(0, SERVERS_MAX), search: search.filter((domain) => domain !== '') }
}

const bareDomain = (text: string): string => text.toLowerCase().replace(/\.$/, '')
