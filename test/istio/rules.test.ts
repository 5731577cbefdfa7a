/**
 * Istio's rules for its security and telemetry kinds, each with the tests that show it by requests of real proxies, with
 * documents that came through an API server. A reader finds the proof of a rule here; a proof that is gone fails.
 */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

type Proof = readonly [file: string, ...titles: readonly string[]]

const POLICY = 'authorization-policy'
const TOKENS = 'request-authentication'
const MODES = 'peer-authentication'

const RULES: Readonly<Record<string, readonly Proof[]>> = {
  'PeerAuthentication: PERMISSIVE is the default': [[MODES, 'nothing', 'PERMISSIVE']],
  'PeerAuthentication: STRICT takes mTLS only': [
    [MODES, 'STRICT'],
    ['strict-switch', 'ends when its port becomes STRICT'],
  ],
  'PeerAuthentication: DISABLE takes plaintext only': [[MODES, 'DISABLE has callers come in plaintext']],
  'PeerAuthentication: workload over namespace over mesh': [[MODES, 'STRICT in the mesh', 'STRICT of the workload']],
  'PeerAuthentication: portLevelMtls are ports of the workload': [
    [MODES, 'STRICT but for one port', 'STRICT for one port', 'STRICT but for a port that no service names'],
  ],
  'RequestAuthentication: a bad token is 401, a missing one passes': [
    [TOKENS, 'refuses bad tokens, and lets requests without one pass'],
  ],
  'RequestAuthentication: audiences': [[TOKENS, 'wants one of the audiences']],
  'RequestAuthentication: fromHeaders, fromParams, fromCookies': [[TOKENS, 'finds tokens where it is told to']],
  'RequestAuthentication: forwardOriginalToken, outputPayloadToHeader, outputClaimToHeaders': [
    [TOKENS, 'keeps the token from the application unless it is to go on'],
  ],
  'RequestAuthentication: several issuers': [[TOKENS, 'believes several issuers, each with its own keys']],
  'RequestAuthentication: jwksUri in the mesh': [[TOKENS, 'has the proxy fetch keys of a server in the mesh']],
  'RequestAuthentication: jwksUri elsewhere, OpenID discovery': [
    ['external-keys', 'has its tokens refused until its keys are there', 'is found through its OpenID configuration'],
  ],
  'RequestAuthentication: selector and targetRefs': [[TOKENS, 'speaks to the pods it selects']],
  'RequestAuthentication: spaceDelimitedClaims': [[TOKENS, 'a claim that is said to have spaces']],
  'a token may be required': [[TOKENS, 'requires a token where a policy asks for one']],
  'AuthorizationPolicy: none admits everyone': [[POLICY, 'no policy admits everyone']],
  'AuthorizationPolicy: spec {} admits no one, rules [{}] everyone': [
    [POLICY, 'spec: {} admits no one', 'rules: [{}] admits everyone', 'DENY rules: [{}]'],
  ],
  'AuthorizationPolicy: CUSTOM, then DENY, then ALLOW': [
    ['custom-authorization', 'stands before DENY and ALLOW, which still decide'],
    [POLICY, 'DENY goes before ALLOW'],
  ],
  'AuthorizationPolicy: AUDIT and dry runs change nothing': [
    [POLICY, 'AUDIT changes nothing', 'a dry run changes nothing'],
  ],
  'AuthorizationPolicy: from, to and when are AND, lists and rules are OR': [
    [
      POLICY,
      'from, to and when all have to hold',
      'lists are alternatives',
      'rules are alternatives',
      'policies are alternatives',
    ],
  ],
  'source.principals': [[POLICY, 'principals', 'principals by prefix', 'principals by suffix', 'notPrincipals']],
  'source.requestPrincipals': [[TOKENS, 'requestPrincipals', 'notRequestPrincipals']],
  'source.namespaces': [[POLICY, 'namespaces', 'namespaces by prefix', 'namespaces by suffix', 'notNamespaces']],
  'source.serviceAccounts': [
    [POLICY, 'serviceAccounts of the own namespace', 'serviceAccounts of another', 'notServiceAccounts'],
  ],
  'source.trustDomains': [
    [POLICY, 'a peer by trust domain', 'not a peer’s'],
    ['exports', 'the peer’s trust domain'],
  ],
  'source.ipBlocks, remoteIpBlocks': [
    [POLICY, 'ipBlocks', 'notIpBlocks', 'remoteIpBlocks, as proxies before say', 'notRemoteIpBlocks'],
  ],
  'operation.hosts': [[POLICY, 'hosts, whose letters have no case', 'hosts by suffix', 'notHosts']],
  'operation.ports': [
    [POLICY, 'ports are the pod’s', 'ports of bytes', 'ports that no service names', 'notPorts'],
    ['unnamed-ports', 'is known by its number'],
  ],
  'operation.methods': [[POLICY, 'methods', 'methods by prefix', 'notMethods']],
  'operation.paths': [
    [POLICY, 'paths', 'paths by prefix', 'paths by suffix', 'paths: any', 'notPaths', 'a path cannot be hidden'],
    ['unnamed-ports', 'has its requests judged by path and method'],
  ],
  'operation.paths with {*} and {**}': [[POLICY, 'paths with one segment open', 'paths with any number open']],
  'when: every key': [
    [
      POLICY,
      'when request.headers',
      'when source.ip',
      'when remote.ip',
      'when source.namespace',
      'when source.principal',
      'when source.serviceAccount',
      'when source.trustDomain',
      'when destination.port',
      'when destination.ip',
      'when connection.sni',
    ],
    [TOKENS, 'request.auth.principal', 'request.auth.audiences', 'request.auth.presenter', 'a claim within a claim'],
  ],
  'HTTP fields never admit bytes, and DENY with only those refuses all of them': [
    [POLICY, 'ALLOW by what requests have admits no bytes', 'DENY by what requests have refuses all bytes'],
  ],
  'selector, targetRefs, root namespaces': [
    [
      POLICY,
      'a selector of its own',
      'a selector of others',
      'a service as target',
      'the mesh’s policy',
      'the mesh’s policy by label',
    ],
  ],
  'cluster.local is the local trust domain; sameNamespaces adds peers’': [
    [POLICY, 'a peer’s caller is not local', 'a peer’s namespace as ours', 'all of a peer as ours'],
    ['exports', 'a namespace that is the peer’s, too', 'another namespace of the peer'],
  ],
  'CUSTOM asks its provider, and fails closed': [
    [
      'custom-authorization',
      'asks about what its rules match, and about nothing else',
      'refuses bytes that its rules match',
    ],
  ],
  'Telemetry: selector and targetRefs': [['telemetry', 'off for a service', 'off for another']],
  'Telemetry: mesh under namespace under workload, shallow override': [
    ['telemetry', 'lets a namespace change one field of the mesh’s', 'accessLogging'],
  ],
  'Telemetry: accessLogging filters and providers': [
    ['telemetry', 'writes what a filter lets through', 'writes in the form of a provider'],
  ],
  'Telemetry: tracing providers and sampling': [
    ['telemetry', 'sends spans of both ends to its provider', 'samples one in a hundred where nobody says how many'],
  ],
  'examples of this repository': [['examples', 'roles.yaml', 'attributes.yaml']],
}

const text = (file: string): string => readFileSync(new URL(`./${file}.test.ts`, import.meta.url), 'utf8')

describe('a rule of Istio’s security and telemetry kinds', () => {
  it.each(Object.entries(RULES))('%s', (_rule, proofs) => {
    for (const [file, ...titles] of proofs) {
      const found = text(file)
      // Documents come as everyone's do.
      expect(found).toContain('useApi()')
      expect(titles.filter((title) => !found.includes(`'${title}`))).toEqual([])
    }
  })
})
