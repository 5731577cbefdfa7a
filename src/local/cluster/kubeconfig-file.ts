/** The kubeconfig of all running clusters of a state directory: one file, a context per cluster, 0600. */
import { existsSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { parse, stringify } from 'yaml'
import { connectControl } from './control-client.ts'
import { attempt, clusterPaths, kubeconfigPath } from './state-directory.ts'

interface Kubeconfig {
  readonly clusters: readonly unknown[]
  readonly contexts: readonly { readonly name: string }[]
  readonly users: readonly unknown[]
}

/** Written anew from what the running clusters say; with none running the file goes. */
export async function writeKubeconfig(stateDir: string): Promise<void> {
  const path = kubeconfigPath(stateDir)
  const text = await mergedKubeconfig(stateDir)
  if (text === undefined) {
    rmSync(path, { force: true })
    return
  }
  attempt(path, () => {
    writeFileSync(`${path}.new`, text, { mode: 0o600 })
    renameSync(`${path}.new`, path)
  })
}

/** undefined: no cluster runs. */
export async function mergedKubeconfig(stateDir: string): Promise<string | undefined> {
  const names = existsSync(stateDir) ? readdirSync(stateDir).sort() : []
  const found: Kubeconfig[] = []
  for (const name of names) {
    const { socket } = clusterPaths(stateDir, name)
    if (!existsSync(socket)) continue
    const text = await connectControl(socket)
      .kubeconfig()
      .catch(() => undefined)
    if (text !== undefined) found.push(parse(text) as Kubeconfig)
  }
  const [first] = found
  if (first === undefined) return undefined
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': first.contexts[0]?.name,
    clusters: found.flatMap((each) => each.clusters),
    contexts: found.flatMap((each) => each.contexts),
    users: found.flatMap((each) => each.users),
  })
}
