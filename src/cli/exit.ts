// Exit statuses of the commands. Source: sysexits(3).

export const EXIT = { ok: 0, usage: 64, unavailable: 69, tempfail: 75, config: 78 } as const

export type ExitStatus = (typeof EXIT)[keyof typeof EXIT]
