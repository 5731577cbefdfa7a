/** Workloads behind pods: what metrics and bootstraps call them. */

/** `checkout-7d9f8b6c5-x2x4z` is a pod of `checkout`: a ReplicaSet's hash and the pod's own five characters. */
export function workloadOf(podName: string): string {
  const match = /^(.+?)-[a-z0-9]{5,10}-[a-z0-9]{5}$/.exec(podName) ?? /^(.+)-[0-9]+$/.exec(podName)
  return match?.[1] ?? podName
}
