/** Which cluster a verb speaks to: the kubeconfig and context flags that kubectl users know. */
import type { Command } from 'commander'
import type { KubeClient } from '../kube/client.ts'

export interface ClusterFlags {
  readonly kubeconfig?: string
  readonly context?: string
}

export function withClusterFlags(command: Command): Command {
  return command
    .option('--kubeconfig <file>', 'kubeconfig file (default: $KUBECONFIG, then ~/.kube/config)')
    .option('--context <name>', 'context of the kubeconfig (default: its current context)')
}

export interface ReaderFlags extends ClusterFlags {
  readonly asAccount?: string
}

/** For verbs that ask the control plane. */
export function withReaderFlags(command: Command): Command {
  return command.option(
    '--as-account <namespace/name>',
    'ServiceAccount whose token the control plane is shown, for those who may read some objects only (default: isthmus-reader)',
  )
}

/** The caller closes the client. */
export async function connect(flags: ClusterFlags): Promise<KubeClient> {
  const [{ kubeconfigConnection }, { createKubeClient }] = await Promise.all([
    import('../kube/kubeconfig.ts'),
    import('../kube/http-client.ts'),
  ])
  return createKubeClient(
    await kubeconfigConnection({
      ...(flags.kubeconfig === undefined ? {} : { path: flags.kubeconfig }),
      ...(flags.context === undefined ? {} : { context: flags.context }),
    }),
  )
}

/** Runs `use` with a client and closes it whatever happens. */
export async function withCluster<T>(flags: ClusterFlags, use: (client: KubeClient) => Promise<T>): Promise<T> {
  const client = await connect(flags)
  try {
    return await use(client)
  } finally {
    client.close()
  }
}
