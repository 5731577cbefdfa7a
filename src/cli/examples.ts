/** Examples of verbs whose flags say nearly all: `main.ts` puts them behind the help that those verbs print. */
export const MORE_EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  'local down': ['isthmus local down', 'isthmus local down --cluster east --purge'],
  'local status': ['isthmus local status', 'isthmus local status -o json'],
  'local kubeconfig': ['export KUBECONFIG=$(isthmus local kubeconfig)'],
  'local fault kill-pods': ['isthmus local fault kill-pods --cluster east -n shop -l app=checkout'],
  'local fault cut': ['isthmus local fault cut --cluster west'],
  'local fault heal': ['isthmus local fault heal --cluster west'],
  'local fault list': ['isthmus local fault list'],
  'local image set': ['isthmus local image set myapp:1.0 -- node app.js'],
  'local image list': ['isthmus local image list'],
  'capture apply': ['isthmus capture apply --proxy-uid 1337'],
  'capture remove': ['isthmus capture remove'],
  'capture print': ['isthmus capture print --backend nftables'],
}
