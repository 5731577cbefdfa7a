/**
 * Where a cluster keeps what must outlive its process. One directory per cluster under the state directory, readable
 * by its owner only; `run.json` says what runs now, `spec.json` what the cluster is.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { MeshError } from '../../runtime/errors.ts'
import type { ClusterSpec } from './cluster-spec.ts'

/** Bytes of a unix socket's path on Linux (sun_path without its final zero). */
const SOCKET_PATH_BYTES_MAX = 107

export interface RunRecord {
  readonly pid: number
  /** With the pid: that very process (see process-table.ts). */
  readonly ticks: string
  readonly network: number
  readonly url: string
}

export interface ClusterPaths {
  readonly directory: string
  readonly spec: string
  readonly run: string
  readonly socket: string
  readonly api: string
  readonly pods: string
  readonly journal: string
  /** Network namespaces, links and routes of a namespaced cluster. */
  readonly network: string
  readonly log: string
  /** Shared by all clusters of the state directory. */
  readonly images: string
  readonly compileCache: string
}

export function defaultStateDirectory(env: NodeJS.ProcessEnv = process.env): string {
  const base = env['XDG_STATE_HOME']
  const root = base === undefined || base === '' ? join(homedir(), '.local', 'state') : base
  return join(root, 'isthmus', 'local')
}

export function clusterPaths(stateDir: string, name: string): ClusterPaths {
  const root = resolve(stateDir)
  const directory = join(root, name)
  return {
    directory,
    spec: join(directory, 'spec.json'),
    run: join(directory, 'run.json'),
    socket: join(directory, 'control.sock'),
    api: join(directory, 'api'),
    pods: join(directory, 'pods'),
    journal: join(directory, 'processes'),
    network: join(directory, 'network'),
    log: join(directory, 'cluster.log'),
    images: join(root, 'images.json'),
    compileCache: join(root, 'compile-cache'),
  }
}

export function kubeconfigPath(stateDir: string): string {
  return join(resolve(stateDir), 'kubeconfig')
}

/** Refuses what would only fail half-way: no room, no rights, or a path that no socket can have. */
export function prepareDirectory(paths: ClusterPaths): void {
  const bytes = Buffer.byteLength(paths.socket)
  if (bytes > SOCKET_PATH_BYTES_MAX) {
    const message = `${paths.socket} has ${bytes} bytes, and a unix socket's path may have ${SOCKET_PATH_BYTES_MAX}`
    throw new MeshError('LOCAL_STATE', message, { hint: 'Choose a shorter directory with --state.' })
  }
  attempt(paths.directory, () => {
    mkdirSync(paths.directory, { recursive: true, mode: 0o700 })
    const probe = join(paths.directory, 'probe')
    writeFileSync(probe, Buffer.alloc(4_096), { mode: 0o600 })
    rmSync(probe)
  })
}

export function writeRecord(path: string, value: RunRecord | ClusterSpec): void {
  attempt(path, () => {
    writeFileSync(`${path}.new`, `${JSON.stringify(value)}\n`, { mode: 0o600 })
    renameSync(`${path}.new`, path)
  })
}

export function readRun(paths: ClusterPaths): RunRecord | undefined {
  return readJson(paths.run) as RunRecord | undefined
}

export function readSpec(paths: ClusterPaths): ClusterSpec | undefined {
  return readJson(paths.spec) as ClusterSpec | undefined
}

/** A record that cannot be read is as good as none: it is written anew at the next start. */
function readJson(path: string): unknown {
  if (!existsSync(path)) return undefined
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return undefined
  }
}

/** Writes; a full disk and missing rights are said in words. */
export function attempt(what: string, write: () => void): void {
  try {
    write()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const cause =
      code === 'ENOSPC'
        ? 'the disk is full'
        : code === 'EACCES' || code === 'EPERM'
          ? 'no right to write there'
          : undefined
    if (cause === undefined) throw MeshError.from(error, 'LOCAL_STATE', `cannot write ${what}`)
    throw new MeshError('LOCAL_STATE', `cannot write ${what}: ${cause}`, { cause: error })
  }
}
