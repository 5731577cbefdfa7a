/** `isthmus install`: writes the mesh's manifests, or applies them to a cluster. */
import type { Command } from 'commander'
import { IMAGE } from '../runtime/version.ts'
import { withCluster, withClusterFlags, type ClusterFlags } from './connect.ts'
import { progress, writeLine } from './output.ts'

interface InstallFlags extends ClusterFlags {
  readonly cluster: string
  readonly mesh: string
  readonly image: string
  readonly clustersetCidr: string
  readonly logLevel: string
  readonly print?: boolean
  readonly strict?: boolean
  readonly dns?: boolean
  readonly ingressGateway?: boolean
  readonly egressGateway?: boolean
  readonly gatewayAddress?: string
}

export function registerInstall(program: Command): void {
  const command = program
    .command('install')
    .description(
      'Install the mesh into a cluster: CRDs, RBAC, control plane, federation controller, east-west gateway.',
    )
    .requiredOption('--cluster <name>', 'name of this cluster in the mesh; immutable afterwards')
    .requiredOption('--mesh <name>', 'name of the mesh, the suffix of every trust domain; immutable afterwards')
    .option('--image <image>', 'image of every part', IMAGE)
    .option('--clusterset-cidr <cidr>', 'virtual IPs of imported services', '240.0.0.0/16')
    .option('--log-level <level>', 'debug, info, warn or error', 'info')
    .option(
      '--gateway-address <host:port,...>',
      'where peers reach the east-west gateway, when not at its load balancer',
    )
    .option('--strict', 'refuse callers without mutual TLS in the whole mesh (a PeerAuthentication in isthmus-system)')
    .option('--dns', 'a DNS server of its own (isthmus-dns), for the cluster’s DNS to forward clusterset.local to')
    .option('--ingress-gateway', 'also a gateway for clients outside the mesh: istio-ingressgateway in istio-system')
    .option('--egress-gateway', 'also a gateway for calls to the outside: istio-egressgateway in istio-system')
    .option('--print', 'write the manifests to stdout instead of applying them')
  withClusterFlags(command).addHelpText(
    'after',
    `
Examples:
  isthmus install --cluster east --mesh demo.mesh --print | kubectl apply -f -
  isthmus install --cluster east --mesh demo.mesh --context east
`,
  )
  command.action(async (flags: InstallFlags) => {
    const { installManifests } = await import('./install/manifests.ts')
    const manifests = installManifests(flags)
    if (flags.print === true) {
      const { stringify } = await import('yaml')
      writeLine(manifests.map((each) => stringify(each, { aliasDuplicateObjects: false }).trimEnd()).join('\n---\n'))
      return
    }
    const { applyManifests } = await import('../kube/apply.ts')
    const { refuseForeignGateways } = await import('./install/gateways.ts')
    await withCluster(flags, async (client) => {
      await refuseForeignGateways(client, flags)
      await applyManifests(client, manifests, { onApplied: (what) => progress(what) })
    })
  })
}
