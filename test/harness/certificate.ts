/** A server certificate for tests that need TLS and not the mesh's identities. */
import { createServingCa, issueServing } from '../../src/pki/issue.ts'
import { generateKey, parsePrivateKey, privateKeyPem } from '../../src/pki/keys.ts'

export function serverCertificate(name: string): { cert: string; key: string; ca: string } {
  const nowMs = Date.now()
  const ca = createServingCa({ cluster: 'test', mesh: 'mesh', nowMs })
  const key = generateKey()
  const cert = issueServing({
    authority: { certificatePem: ca.certificatePem, key: parsePrivateKey(ca.keyPem) },
    publicKey: key.publicKey,
    dns: [name],
    nowMs,
  })
  return { cert, key: privateKeyPem(key.privateKey), ca: ca.certificatePem }
}
