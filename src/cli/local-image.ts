/** `isthmus local image …`: the table of images, for all clusters of a state directory, running or not. */
import { mkdirSync } from 'node:fs'
import { resolve } from 'node:path'
import { connectControl } from '../local/cluster/control-client.ts'
import { clusterPaths, defaultStateDirectory } from '../local/cluster/state-directory.ts'
import { isClusterRunning, knownClusters } from '../local/cluster/supervisor.ts'
import { Images, type ImageCommand } from '../local/node/images.ts'
import type { StateFlags, StatusFlags } from './local.ts'
import { outputFormat, print, renderTable, writeLine } from './output.ts'

export async function setImage(name: string, words: readonly string[], flags: StateFlags): Promise<void> {
  const stateDir = resolve(flags.state ?? defaultStateDirectory())
  const command: ImageCommand = { command: words, cwd: process.cwd() }
  mkdirSync(stateDir, { recursive: true, mode: 0o700 })
  new Images(clusterPaths(stateDir, 'any').images).set(name, command)
  // Running clusters hear of it at once: pods that wait for the image start.
  for (const cluster of knownClusters(stateDir)) {
    const paths = clusterPaths(stateDir, cluster)
    if (isClusterRunning(paths)) await connectControl(paths.socket).setImage({ image: name, command })
  }
  writeLine(`${name} runs: ${words.join(' ')}`)
}

export async function listImages(flags: StatusFlags): Promise<void> {
  const format = outputFormat(flags.output)
  const images = new Images(clusterPaths(flags.state ?? defaultStateDirectory(), 'any').images).list()
  const rows = Object.entries(images).map(([name, { command, cwd }]) => [name, command.join(' '), cwd ?? ''])
  await print(format, images, () =>
    rows.length === 0 ? 'no images' : renderTable([['IMAGE', 'COMMAND', 'DIRECTORY'], ...rows]),
  )
}
