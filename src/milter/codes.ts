// The numbers of the milter protocol under their libmilter names, as tables that code, log and tests share.
// Source: sendmail 8.17 include/libmilter/mfdef.h; Postfix 3.7 src/milter/milter8.c (smfic_table and neighbours).

/** The protocol version that greymx speaks; an MTA with a lower one is answered in its own, down to `MIN_VERSION`. */
export const PROTOCOL_VERSION = 6
export const MIN_VERSION = 2

/** The first version with a DATA stage (Postfix postconf(5), milter_protocol). */
export const DATA_VERSION = 4

/** Commands of the MTA: one character on the wire (SMFIC_*). */
export const COMMANDS = {
  O: 'OPTNEG',
  D: 'MACRO',
  C: 'CONNECT',
  H: 'HELO',
  M: 'MAIL',
  R: 'RCPT',
  T: 'DATA',
  L: 'HEADER',
  N: 'EOH',
  B: 'BODY',
  E: 'BODYEOB',
  A: 'ABORT',
  Q: 'QUIT',
  K: 'QUIT_NC',
  U: 'UNKNOWN',
} as const

/** A command's character on the wire. */
export type CommandCode = keyof typeof COMMANDS
/** A command's libmilter name, without SMFIC_. */
export type CommandName = (typeof COMMANDS)[CommandCode]

/** What a filter may do to a message (SMFIF_*); the table has only the actions that greymx asks for. */
export const ACTIONS = { ADDHDRS: 0x1, SETSYMLIST: 0x100 } as const

/** Protocol steps (SMFIP_*): stages the MTA need not send, and replies it need not wait for. */
export const STEPS = {
  NOCONNECT: 0x1,
  NOHELO: 0x2,
  NOMAIL: 0x4,
  NORCPT: 0x8,
  NOBODY: 0x10,
  NOHDRS: 0x20,
  NOEOH: 0x40,
  NR_HDR: 0x80,
  NOUNKNOWN: 0x100,
  NODATA: 0x200,
  SKIP: 0x400,
  RCPT_REJ: 0x800,
  NR_CONN: 0x1000,
  NR_HELO: 0x2000,
  NR_MAIL: 0x4000,
  NR_RCPT: 0x8000,
  NR_DATA: 0x10000,
  NR_UNKN: 0x20000,
  NR_EOH: 0x40000,
  NR_BODY: 0x80000,
} as const

/** Stages for which a filter can request a list of macros (SMFIM_*). */
export const MACRO_STAGES = { connect: 0, helo: 1, mail: 2, rcpt: 3, data: 4, eom: 5, eoh: 6 } as const
export type MacroStage = keyof typeof MACRO_STAGES

/** Replies that greymx can give (SMFIR_*): it cannot reject or discard, and changes a message only by a header. */
export const REPLIES = { continue: 'c', tempfail: 't', replyCode: 'y', addHeader: 'h' } as const
