/**
 * One schedule: a seed makes the clusters, what their owners do and everything that goes wrong; the judge looks on. Then
 * all is healed, and ten seconds later every cluster must hold exactly what the others export.
 */
import { SERVICE_IMPORTS } from '../../src/kube/kinds.ts'
import { seededRandom, type Random } from '../../src/runtime/random.ts'
import { Adversary } from './adversary.ts'
import { NAMESPACE, PODS_MAX, SERVICE_NAMES, SimCluster } from './cluster.ts'
import { ADVERSARY, Broken, Judge, OWN_EXPORT } from './judge.ts'
import { SimNetwork } from './network.ts'
import { SimTime } from './time.ts'

export interface Outcome {
  readonly seed: number
  readonly clusters: number
  readonly events: number
  /** From the end of all faults until every cluster agreed; undefined when a rule broke before. */
  readonly convergedMs: number | undefined
  /** The rule that broke. */
  readonly broken: string | undefined
  /** What happened, a line each. */
  readonly story: readonly string[]
}

const NAMES = ['east', 'west', 'north', 'south']
const BOOT_MS = 3_000
const CHAOS_MIN_MS = 8_000
const CHAOS_MORE_MS = 16_000
/** A lease, a takeover, and what a controller needs to begin. */
const ELECTION_MS = 16_000
export const CONVERGED_WITHIN_MS = 10_000
const LOOK_MS = 250
const FORGETS_APART_MS = 6_000

/** `wire`: the story tells every message besides. */
export async function runSchedule(seed: number, options: { readonly wire?: boolean } = {}): Promise<Outcome> {
  const schedule = new Schedule(seed, options.wire === true)
  return schedule.run()
}

type Act = () => void | Promise<void>

class Schedule {
  readonly #seed: number
  readonly #random: Random
  readonly #time = new SimTime()
  readonly #network: SimNetwork
  readonly #clusters: readonly SimCluster[]
  readonly #judge: Judge
  readonly #adversary: Adversary | undefined
  readonly #story: string[] = []
  readonly #forgotAt = new Map<SimCluster, number>()
  #acts: readonly (readonly [weight: number, act: Act])[] = []

  constructor(seed: number, wire: boolean) {
    this.#seed = seed
    this.#random = seededRandom(seed)
    this.#network = new SimNetwork(this.#time, this.#random)
    if (wire) this.#network.trace = (line) => this.#tell(`  ${line}`)
    const roll = this.#random.next()
    const names = NAMES.slice(0, roll < 0.5 ? 2 : roll < 0.9 ? 3 : 4)
    const hostile = this.#random.next() < 0.3
    const members = hostile ? [...names, ADVERSARY] : names
    this.#clusters = names.map(
      (name, index) =>
        new SimCluster({ name, members, signer: index === 0, network: this.#network, random: this.#random }),
    )
    if (hostile) this.#adversary = new Adversary(this.#network, this.#random, names)
    const truths = new Map(this.#clusters.map(({ name, truth }) => [name, truth]))
    if (this.#adversary !== undefined) truths.set(ADVERSARY, this.#adversary.truth)
    this.#judge = new Judge(this.#network, this.#clusters, truths)
  }

  async run(): Promise<Outcome> {
    try {
      const convergedMs = await this.#play()
      return this.#outcome(convergedMs, undefined)
    } catch (error) {
      if (!(error instanceof Error)) throw error
      return this.#outcome(undefined, error instanceof Broken ? error.message : (error.stack ?? error.message))
    } finally {
      for (const cluster of this.#clusters) for (const index of cluster.replicas.keys()) cluster.kill(index)
    }
  }

  #outcome(convergedMs: number | undefined, broken: string | undefined): Outcome {
    const { events } = this.#time
    return { seed: this.#seed, clusters: this.#clusters.length, events, convergedMs, broken, story: this.#story }
  }

  async #play(): Promise<number> {
    for (const cluster of this.#clusters) await cluster.boot()
    for (const cluster of this.#clusters) {
      for (const name of SERVICE_NAMES) if (this.#chance(0.6)) await cluster.export(name, this.#upTo(PODS_MAX), 'all')
    }
    await this.#pass(BOOT_MS)
    this.#acts = this.#repertoire()
    const end = this.#time.now + CHAOS_MIN_MS + CHAOS_MORE_MS * this.#random.next()
    while (this.#time.now < end) {
      await this.#act()
      await this.#pass(50 + 900 * this.#random.next())
    }
    this.#mendProcesses()
    await this.#pass(ELECTION_MS)
    this.#tell('all is healed')
    this.#network.heal()
    return this.#converge()
  }

  async #converge(): Promise<number> {
    const healedAt = this.#time.now
    for (;;) {
      const differences = this.#judge.differences()
      const tookMs = this.#time.now - healedAt
      if (differences.length === 0) return tookMs
      if (tookMs >= CONVERGED_WITHIN_MS) {
        this.#tell(this.#clusters.map(standing).join('\n'))
        throw new Broken('convergence', `10 s after all was healed ${differences.slice(0, 3).join('; ')}`)
      }
      await this.#pass(LOOK_MS)
    }
  }

  #pass(durationMs: number): Promise<void> {
    return this.#time.until(this.#time.now + durationMs, () => {})
  }

  async #act(): Promise<void> {
    const total = this.#acts.reduce((sum, [weight]) => sum + weight, 0)
    let roll = this.#random.next() * total
    for (const [weight, act] of this.#acts) {
      roll -= weight
      if (roll < 0) return act()
    }
  }

  #repertoire(): readonly (readonly [number, Act])[] {
    return [
      [8, () => this.#toggleExport()],
      [3, () => this.#exportAnew()],
      [1, () => this.#withdrawAll()],
      [5, () => this.#scale()],
      [3, () => this.#restrict()],
      [2, () => this.#tamper()],
      [5, () => this.#cut()],
      [5, () => this.#slow()],
      [3, () => this.#mend()],
      [2, () => this.#forgetStreams()],
      [4, () => this.#killReplica()],
      [3, () => this.#pauseReplica()],
      [3, () => this.#startReplicas()],
      [2, () => this.#apiAway()],
      [2, () => this.#apiRestarts()],
      [1, () => this.#apiForgets()],
      [1, () => this.#answersGetLost()],
      [1, () => this.#gateway()],
      [this.#adversary === undefined ? 0 : 10, () => this.#adversary?.act()],
    ]
  }

  // === owners ===

  async #toggleExport(): Promise<void> {
    const cluster = this.#cluster()
    const name = this.#pick(SERVICE_NAMES)
    if (cluster.truth.get(`${NAMESPACE}/${name}`) === undefined) {
      const ready = this.#upTo(PODS_MAX)
      this.#tell(`${cluster.name} exports ${name} with ${ready} pods`)
      await cluster.export(name, ready, 'all')
    } else {
      this.#tell(`${cluster.name} unexports ${name}`)
      await cluster.unexport(name)
    }
  }

  /** Gone and there again at once: another object of the same name. */
  async #exportAnew(): Promise<void> {
    const found = this.#exported()
    if (found === undefined) return
    const { cluster, name } = found
    this.#tell(`${cluster.name} exports ${name} anew`)
    await cluster.unexport(name)
    if (this.#chance(0.5)) await this.#pass(this.#random.next() * 200)
    await cluster.export(name, this.#upTo(PODS_MAX), 'all')
  }

  async #withdrawAll(): Promise<void> {
    const cluster = this.#cluster()
    this.#tell(`${cluster.name} withdraws everything`)
    for (const key of cluster.truth.keys) await cluster.unexport(key.slice(NAMESPACE.length + 1))
  }

  async #scale(): Promise<void> {
    const cluster = this.#cluster()
    const name = this.#pick(SERVICE_NAMES)
    const ready = this.#upTo(PODS_MAX)
    this.#tell(`${cluster.name} has ${ready} pods of ${name}`)
    await cluster.scale(name, ready)
  }

  async #restrict(): Promise<void> {
    const found = this.#exported()
    if (found === undefined) return
    const { cluster, name } = found
    const others = this.#clusters.map((each) => each.name).filter((each) => each !== cluster.name)
    const to = this.#chance(0.5) ? 'all' : others.filter(() => this.#chance(0.5))
    this.#tell(`${cluster.name} exports ${name} to ${String(to)}`)
    await cluster.restrict(name, to)
  }

  async #tamper(): Promise<void> {
    const cluster = this.#cluster()
    // The import of an own export is the only record of it while no leader watches: losing that is losing the disk.
    const found = cluster.server.store
      .standing(SERVICE_IMPORTS)
      .filter(({ metadata }) => metadata.annotations?.[OWN_EXPORT] === undefined)
    if (found.length === 0) return
    const { namespace = '', name = '' } = this.#pick(found).metadata
    this.#tell(`somebody deletes the import of ${name} in ${cluster.name}`)
    this.#judge.tamper(cluster.name, `${namespace}/${name}`)
    await cluster.server.store.remove(SERVICE_IMPORTS, { namespace, name })
  }

  // === the network ===

  #cut(): void {
    const [from, to] = this.#pair()
    const path = this.#network.path(from, to)
    const what = this.#pick(['control', 'data', 'both'] as const)
    const both = this.#chance(0.5)
    for (const each of both ? [path, this.#network.path(to, from)] : [path]) {
      if (what !== 'data') each.controlCut = true
      if (what !== 'control') each.dataCut = true
    }
    this.#tell(`${what} cut ${from} → ${to}${both ? ' and back' : ''}`)
  }

  #slow(): void {
    const [from, to] = this.#pair()
    const path = this.#network.path(from, to)
    path.delayMs = this.#pick([5, 40, 150, 800])
    path.loss = this.#pick([0, 0.05, 0.4])
    path.twice = this.#pick([0, 0, 0.05])
    path.swapped = this.#pick([0, 0, 0.05])
    this.#tell(`${from} → ${to}: ${path.delayMs} ms, ${path.loss} lost, ${path.twice} twice, ${path.swapped} swapped`)
  }

  #mend(): void {
    const [from, to] = this.#pair()
    for (const path of [this.#network.path(from, to), this.#network.path(to, from)]) {
      Object.assign(path, { controlCut: false, dataCut: false })
    }
    this.#tell(`${from} and ${to} reach each other`)
  }

  #forgetStreams(): void {
    const [one, another] = this.#pair()
    this.#tell(`the streams between ${one} and ${another} are forgotten`)
    this.#network.forgetStreams(one, another)
  }

  #gateway(): void {
    const cluster = this.#cluster()
    cluster.gatewayUp = !cluster.gatewayUp
    this.#tell(`the gateway of ${cluster.name} is ${cluster.gatewayUp ? 'back' : 'gone'}`)
  }

  // === processes and API servers ===

  #killReplica(): void {
    const cluster = this.#cluster()
    const leading = cluster.replicas.findIndex((each) => each !== undefined && each === cluster.leader)
    const index = leading >= 0 && this.#chance(0.7) ? leading : this.#upTo(1)
    const replica = cluster.replicas[index]
    if (replica === undefined) return
    this.#tell(`${replica.process.name} is killed${index === leading ? ', the leader' : ''}`)
    cluster.kill(index)
  }

  #pauseReplica(): void {
    const cluster = this.#cluster()
    const replica = this.#chance(0.7) ? cluster.leader : cluster.replicas[this.#upTo(1)]
    if (replica === undefined || replica.process.dead || replica.process.paused) return
    const durationMs = this.#pick([500, 3_000, 12_000, 30_000])
    this.#tell(`${replica.process.name} stands still for ${durationMs} ms`)
    replica.process.paused = true
    this.#time.after(durationMs, () => replica.process.resume())
  }

  #startReplicas(): void {
    const cluster = this.#cluster()
    for (const [index, replica] of cluster.replicas.entries()) if (replica === undefined) cluster.start(index)
  }

  #apiAway(): void {
    const cluster = this.#cluster()
    const durationMs = 500 + 8_000 * this.#random.next()
    this.#tell(`the API server of ${cluster.name} is away for ${Math.round(durationMs)} ms`)
    cluster.server.goAway()
    this.#time.after(durationMs, () => {
      cluster.server.away = false
    })
  }

  #apiRestarts(): void {
    const cluster = this.#cluster()
    this.#tell(`the API server of ${cluster.name} restarts without its history`)
    cluster.server.restart()
  }

  /** Two thirds are missing, for less time than it takes to ask again. */
  #apiForgets(): void {
    const cluster = this.#cluster()
    // Twice within the time of asking again is no lapse of memory any more.
    if (this.#time.now - (this.#forgotAt.get(cluster) ?? -Infinity) < FORGETS_APART_MS) return
    this.#forgotAt.set(cluster, this.#time.now)
    this.#tell(`the API server of ${cluster.name} lists a third of what it has`)
    cluster.server.forgets = true
    cluster.server.restart()
    this.#time.after(900 * this.#random.next(), () => {
      cluster.server.forgets = false
      // It has its caches again, and nobody who listed meanwhile may go on from there.
      cluster.server.restart()
    })
  }

  #answersGetLost(): void {
    const cluster = this.#cluster()
    cluster.server.answersLost = this.#pick([0, 0.05, 0.3])
    this.#tell(`${cluster.server.answersLost} of the answers of the API server of ${cluster.name} get lost`)
  }

  #mendProcesses(): void {
    this.#tell('every process runs')
    for (const cluster of this.#clusters) {
      cluster.gatewayUp = true
      Object.assign(cluster.server, { away: false, forgets: false, answersLost: 0 })
      for (const [index, replica] of cluster.replicas.entries()) {
        if (replica === undefined) cluster.start(index)
        else if (replica.process.paused) replica.process.resume()
      }
    }
  }

  // === chance ===

  #exported(): { cluster: SimCluster; name: string } | undefined {
    const cluster = this.#cluster()
    const { keys } = cluster.truth
    if (keys.length === 0) return undefined
    return { cluster, name: this.#pick(keys).slice(NAMESPACE.length + 1) }
  }

  #pair(): readonly [string, string] {
    const from = this.#cluster()
    const others = this.#clusters.filter((each) => each !== from)
    return [from.name, this.#pick(others).name]
  }

  #cluster(): SimCluster {
    return this.#pick(this.#clusters)
  }

  #chance(share: number): boolean {
    return this.#random.next() < share
  }

  /** 0 to `most`. */
  #upTo(most: number): number {
    return Math.floor(this.#random.next() * (most + 1))
  }

  #pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.#random.next() * list.length)] as T
  }

  #tell(line: string): void {
    this.#story.push(`${(this.#time.now / 1000).toFixed(3)} ${line}`)
  }
}

/** For the story's end: who leads, and what its links say. */
function standing({ name, replicas }: SimCluster): string {
  const lines = replicas.map((replica) => {
    if (replica === undefined) return 'none'
    const { lock, terms, process } = replica
    const links = terms.current?.links
    const peers = links?.names.map((peer) => `${peer}: ${JSON.stringify(links.facts(peer))}`) ?? []
    const state = lock.isLeader ? `leads in epoch ${lock.epoch}` : 'does not lead'
    return `${process.name} ${state}${process.paused ? ', paused' : ''} ${peers.join(' ')}`
  })
  return `${name}: ${lines.join('; ')}`
}
