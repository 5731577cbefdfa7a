/** Every error code of the product. Add a row here and `npm run check` asks for it in docs/reference/errors.md. */
import type { CatalogueEntry } from './errors.ts'

export const CATALOGUE = {
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
  NOT_INSTALLED: { title: 'The mesh is not installed in the cluster.', hint: 'Run `isthmus install --cluster NAME --mesh NAME` against it first.' },
  ROOT_EXISTS: { title: 'The cluster holds a root CA already.', hint: 'A mesh has one root; joining clusters get theirs with `isthmus peers join`.' },
  MANIFEST_INVALID: { title: 'A manifest is not a Kubernetes object.', hint: 'Every document needs apiVersion, kind and metadata.name.' },
  KIND_UNKNOWN: { title: 'The API server does not serve the kind.', hint: 'Apply its CustomResourceDefinition first, or correct apiVersion and kind.' },
  APPLY_REFUSED: { title: 'The API server refused an object.', hint: 'Correct what the message names and apply again; nothing else was changed after it.' },
  KUBECONFIG: {
    title: 'A kubeconfig, or the context asked for, cannot be used.',
    hint: 'Check --kubeconfig, --context and KUBECONFIG; `kubectl config get-contexts` lists what there is.',
  },
  KUBE_CREDENTIALS: {
    title: "A pod's credentials for the API server cannot be used.",
    hint: 'Check that the pod has a ServiceAccount with automountServiceAccountToken and that its volume is mounted.',
  },
  INTERNAL: { title: 'A bug: an invariant did not hold.', hint: 'Please report it with the log around it.' },
} as const satisfies Record<string, CatalogueEntry>

export type ErrorCode = keyof typeof CATALOGUE
