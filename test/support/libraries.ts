// Finds the shared libraries of Debian packages that are unpacked below a folder and not installed.

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

/** The folders with libraries below `root`, as LD_LIBRARY_PATH takes them. */
export async function libraryPath(root: string): Promise<string> {
  const folders = await Promise.all(
    ['usr/lib', 'lib'].map(async (folder) => {
      const names = await readdir(join(root, folder)).catch(() => [])
      return names.filter((name) => name.includes('-linux-')).map((name) => join(root, folder, name))
    }),
  )
  return folders.flat().join(':')
}
