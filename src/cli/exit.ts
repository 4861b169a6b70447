// Exit statuses of the commands. Source: sysexits(3).

/**
 * `warnings` is what `check --strict` says of them, and `status` of what needs attention; `data` is for input of `import`
 * that cannot be read.
 */
export const EXIT = {
  ok: 0,
  warnings: 1,
  usage: 64,
  data: 65,
  unavailable: 69,
  tempfail: 75,
  config: 78,
} as const

export type ExitStatus = (typeof EXIT)[keyof typeof EXIT]
