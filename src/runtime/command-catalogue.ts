/** Codes of the command line, of what it asks clusters and of settings: a part of catalogue.ts. */
import type { CatalogueEntry } from './errors.ts'

export const COMMAND_CATALOGUE = {
  USAGE: { title: 'A command line is wrong.', hint: 'Run the command with --help for its flags and examples.' },
  NOT_BUILT: {
    title: 'The feature is named by the design and not built yet.',
    hint: 'See docs/roadmap.md for its state.',
  },
  SETTING_MISSING: {
    title: 'A required setting is absent.',
    hint: 'Set the variable; docs/reference/defaults.yaml lists them all.',
  },
  SETTING_INVALID: {
    title: 'A setting has a value outside its range.',
    hint: 'Correct the value; docs/reference/defaults.yaml gives the range.',
  },
  NOT_INSTALLED: {
    title: 'The mesh is not installed in the cluster.',
    hint: 'Run `isthmus install --cluster NAME --mesh NAME` against it first.',
  },
  ROOT_EXISTS: {
    title: 'The cluster holds a root CA already.',
    hint: 'A mesh has one root; joining clusters get theirs with `isthmus peers join`.',
  },
  MANIFEST_INVALID: {
    title: 'A manifest is not a Kubernetes object.',
    hint: 'Every document needs apiVersion, kind and metadata.name.',
  },
  KIND_UNKNOWN: {
    title: 'The API server does not serve the kind.',
    hint: 'Apply its CustomResourceDefinition first, or correct apiVersion and kind.',
  },
  APPLY_REFUSED: {
    title: 'The API server refused an object.',
    hint: 'Correct what the message names and apply again; nothing else was changed after it.',
  },
  OBJECTS_REFUSED: {
    title: 'Manifests have errors, so none of them was applied.',
    hint: 'Correct what the table names; `isthmus validate -f FILE -o wide` shows the way out of each.',
  },
  PROXY_REFUSED: {
    title: 'A proxy refused the configuration that objects led to, and keeps its last good one.',
    hint: 'The message has its words; undo the change, or mend what it names.',
  },
  CONTROL_PLANE_AWAY: {
    title: 'No control plane could be asked.',
    hint: 'Check `kubectl -n isthmus-system get pods -l app=isthmus-control-plane` and your rights: pods/proxy and serviceaccounts/token in isthmus-system.',
  },
  CONTROL_PLANE_REFUSED: {
    title: 'The control plane does not show this to the reader.',
    hint: 'A Role may allow `get` on descriptions, tlschecks and proxyconfigs of isthmus.dev in your namespace: pass --as-account NAMESPACE/NAME of an account that has it.',
  },
  PROXY_UNKNOWN: {
    title: 'No control plane has a connection of that proxy.',
    hint: 'See `isthmus proxy-status`; a proxy that just lost its control plane comes back within seconds.',
  },
  PEERS_REFUSED: {
    title: 'A policy on an exported service would refuse the callers of peers after a failover.',
    hint: 'Name the peers’ identities in a rule, or admit their namespaces in the ClusterPeer.',
  },
  PLAINTEXT_CALLERS: {
    title: 'A service has callers without mTLS, which STRICT would refuse.',
    hint: 'Give the callers sidecars, or leave the port PERMISSIVE in a PeerAuthentication of its own.',
  },
  WORKLOAD_UNKNOWN: {
    title: 'The mesh knows no pod or service of that name.',
    hint: 'Give the namespace with -n, or as name.namespace; `kubectl get pods,services` lists them.',
  },
} as const satisfies Record<string, CatalogueEntry>
