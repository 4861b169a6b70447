// Debian's libfaketime, which gives a process another date than the host has.

/** The part of a process's environment that loads it. The loader replaces $LIB by the folder of this machine's libraries. */
export const LIBFAKETIME = { LD_PRELOAD: '/usr/$LIB/faketime/libfaketime.so.1' } as const
