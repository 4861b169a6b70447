// Makes a certificate authority for one test, with a certificate for a server (also for 127.0.0.1), two for clients
// whose names the server can trust, and one for a client that it cannot trust.

import { execFile } from 'node:child_process'
import { createHash, X509Certificate } from 'node:crypto'
import { mkdtemp, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Paths of PEM files. */
export interface CertificateFiles {
  readonly cert: string
  readonly key: string
}

/** PEM texts. */
export interface Certificate {
  readonly cert: string
  readonly key: string
}

export interface Certificates {
  readonly folder: string
  readonly authority: string
  readonly server: CertificateFiles
  readonly trusted: Certificate
  /** A client's certificate of the same authority. */
  readonly other: Certificate
  readonly stranger: Certificate
}

/** Makes the certificates below `dir`, valid for a day. */
export async function makeCertificates(dir: string): Promise<Certificates> {
  const folder = await mkdtemp(join(dir, 'tls-'))
  const authority = await selfSigned(folder, 'authority')
  const server = await signed(folder, authority, 'mx.example.com')
  const trusted = await signed(folder, authority, 'trusted.client.test')
  const other = await signed(folder, authority, 'other.client.test')
  const stranger = await selfSigned(folder, 'stranger.client.test')
  return {
    folder,
    authority: authority.cert,
    server,
    trusted: await contents(trusted),
    other: await contents(other),
    stranger: await contents(stranger),
  }
}

/** The digest of a PEM text, as `openssl x509 -fingerprint` writes it. */
export function fingerprint(pem: string, algorithm: 'md5' | 'sha256'): string {
  const digest = createHash(algorithm).update(new X509Certificate(pem).raw).digest('hex')
  return digest.toUpperCase().replace(/..(?=.)/g, '$&:')
}

async function selfSigned(folder: string, name: string): Promise<CertificateFiles> {
  const files = filesOf(folder, name)
  await openssl('req', '-x509', ...newKey(name, files), '-days', '1', '-out', files.cert)
  return files
}

async function signed(folder: string, issuer: CertificateFiles, name: string): Promise<CertificateFiles> {
  const files = filesOf(folder, name)
  const request = join(folder, `${name}.csr`)
  const names = `subjectAltName=DNS:${name},IP:127.0.0.1`
  await openssl('req', ...newKey(name, files), '-addext', names, '-out', request)
  const by = ['-CA', issuer.cert, '-CAkey', issuer.key, '-CAcreateserial']
  await openssl(
    'x509',
    '-req',
    '-in',
    request,
    ...by,
    '-copy_extensions',
    'copy',
    '-days',
    '1',
    '-out',
    files.cert,
  )
  return files
}

function newKey(name: string, { key }: CertificateFiles): string[] {
  return ['-newkey', 'rsa:2048', '-nodes', '-subj', `/CN=${name}`, '-keyout', key]
}

function filesOf(folder: string, name: string): CertificateFiles {
  return { cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) }
}

async function contents({ cert, key }: CertificateFiles): Promise<Certificate> {
  return { cert: await readFile(cert, 'utf8'), key: await readFile(key, 'utf8') }
}

async function openssl(...args: string[]): Promise<void> {
  await run('openssl', args)
}
