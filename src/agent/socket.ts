/**
 * The agent's socket: whoever may open it is the pod, so it is its owner's alone. Names of sockets are short (107 bytes,
 * unix(7)), paths of volumes may not be; so it is opened relative to its directory.
 */
import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Server, ServerCredentials } from '@grpc/grpc-js'

export const SOCKET = 'agent.sock'
const PRIVATE_DIRECTORY = 0o700
const PRIVATE = 0o600
/** 108 with the NUL at the end. */
const PATH_BYTES_MAX = 107

/** How to open it from `cwd`. */
export function socketPath(directory: string, cwd: string): string {
  const path = join(directory, SOCKET)
  return Buffer.byteLength(path) > PATH_BYTES_MAX && cwd === directory ? SOCKET : path
}

/** Nobody else gets into the directory, so that the moment before the mode is set is nobody's either. */
export async function openSocket(server: Server, directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true, mode: PRIVATE_DIRECTORY })
  const path = socketPath(directory, process.cwd())
  // What a killed agent left behind.
  rmSync(path, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    )
  })
  chmodSync(path, PRIVATE)
}
