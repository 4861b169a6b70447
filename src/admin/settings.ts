// The settings of the admin servers and the page. How they are read is left to config/.

/** Who may read views that name people without being signed in: who is on this host, or nobody. */
export type PageReaders = 'loopback' | 'token'

/** Where a reverse proxy offers the page. */
export interface PageBase {
  /** Path without a slash at its end; '' at the root. */
  readonly path: string
  /** Its host, with the port if that is not the scheme's; absent if the setting has only the path. */
  readonly host?: string
  /** Whether browsers reach it by https. */
  readonly isHttps: boolean
}

/** Address on which the server listens; port 0 means any free port. */
export interface AdminAddress {
  readonly host: string
  readonly port: number
}

export interface AdminSettings {
  /** Absent when the port is turned off. */
  readonly admin?: AdminAddress
  /** Path of the unix socket; absent when it is turned off. */
  readonly adminSocket?: string
  /** The file with the tokens for calls on the port; without one, none can be made there. */
  readonly adminTokens?: string
  /** Absent when there is no page. */
  readonly adminPage?: PageFor
}

/** Who may read the page, and where a proxy offers it. */
export interface PageFor {
  readonly readers: PageReaders
  readonly base: PageBase
}
