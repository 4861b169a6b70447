// Gives the TLS options of a new connection, whose certificates stand in files that are written anew while greymx runs.

import { createPrivateKey, X509Certificate } from 'node:crypto'
import { type ConnectionOptions, createSecureContext } from 'node:tls'
import { explained, messageOf } from '../../errors.ts'
import { readRegularFile } from './login.ts'
import type { RedisTls } from './settings.ts'

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g

/** Returns the text of the file. Throws if it cannot be read, or if there are no certificates in it. */
export function readCertificateFile(path: string): string {
  const text = readText(path)
  const certificates = text.match(CERTIFICATE) ?? []
  if (certificates.length === 0) throw new Error('expected a file of certificates in PEM')
  for (const certificate of certificates)
    explained('expected certificates', () => new X509Certificate(certificate))
  return text
}

/** Returns the text of the file. Throws if it cannot be read, or if there is no private key in it. */
export function readKeyFile(path: string): string {
  const text = readText(path)
  explained('expected a file with a private key in PEM, without a passphrase', () => createPrivateKey(text))
  return text
}

function readText(path: string): string {
  return explained('expected a file that can be read', () => readRegularFile(path))
}

/**
 * Returns a function with the options for a connection that begins now. While a file cannot be used, as in the moment in
 * which it is written, or when only one of certificate and key is new, the options are those of before. `onWarning` is
 * then called, once until all files can be used again.
 */
export function freshTls(tls: RedisTls, onWarning: (warning: string) => void): () => ConnectionOptions {
  const name = tls.serverName === undefined ? {} : { servername: tls.serverName }
  let options: ConnectionOptions = { ...textsOf(tls), ...name }
  let hasFailed = false
  const { files } = tls
  if (!files) return () => options
  return () => {
    try {
      options = { secureContext: createSecureContext(readAgain(files)), ...name }
      hasFailed = false
    } catch (error) {
      if (!hasFailed)
        onWarning(`${messageOf(error)}: connections go on with the certificates that were there before`)
      hasFailed = true
    }
    return options
  }
}

function textsOf({ ca, cert, key }: RedisTls): Pick<RedisTls, 'ca' | 'cert' | 'key'> {
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  }
}

/** The texts of the files as they are now. */
function readAgain({ ca, cert, key }: NonNullable<RedisTls['files']>): Pick<RedisTls, 'ca' | 'cert' | 'key'> {
  const read = (setting: string, path: string | undefined, readFile: (path: string) => string) =>
    path === undefined
      ? {}
      : { [setting]: explained(`Cannot read redis.tls.${setting} ${path}`, () => readFile(path)) }
  return {
    ...read('ca', ca, readCertificateFile),
    ...read('cert', cert, readCertificateFile),
    ...read('key', key, readKeyFile),
  }
}
