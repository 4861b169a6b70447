// How addresses stand in the store, for calls that look them up there: as sender forms and recipients in normal form, or
// as hashes of these (greylist/privacy.ts).

import { type Address, parseAddress } from '../address.ts'
import { attemptRef } from '../greylist/keys.ts'
import { concealments, isConcealed, type PrivacyKey } from '../greylist/privacy.ts'
import { senderForms } from '../greylist/sender.ts'

/** The addresses as the store has them. */
export interface Stored {
  /** The sender form. */
  form(sender: Address, recipient: Address | undefined): string
  /** The address of a recipient, with the normal form that stands in keys. */
  recipient(address: Address): Address
  /** The reference of a sender and a recipient, which are as a message has them. */
  ref(sender: Address, recipient: Address | undefined): string
  /** Sender and recipient of a message as operators are shown them: as they are, or hashes. */
  shown(sender: Address, recipient: Address | undefined): { sender: string; recipient: string | undefined }
  /** All that may stand for an address. */
  formsOf(address: Address): ReadonlySet<string>
}

/** The addresses as the store has them with these settings. */
export function storedBy(settings: {
  readonly normalizeSender: boolean
  readonly privacy?: readonly PrivacyKey[] | undefined
}): Stored {
  const all = concealments(settings.privacy)
  const [{ text, address: conceal }] = all
  const plainForm = (sender: Address, recipient: Address | undefined) =>
    settings.normalizeSender ? senderForms(sender, recipient).form : sender.normal
  const form = (sender: Address, recipient: Address | undefined) =>
    isConcealed(sender.normal) ? sender.normal : text(plainForm(sender, recipient))
  return {
    form,
    recipient: conceal,
    ref: (sender, recipient) => attemptRef(form(sender, recipient), recipient && conceal(recipient)),
    shown(sender, recipient) {
      if (settings.privacy === undefined) return { sender: sender.text, recipient: recipient?.text }
      const to = recipient && text(recipient.normal)
      return { sender: text(plainForm(sender, recipient)), recipient: to }
    },
    formsOf(address) {
      const plain = [address.normal, plainForm(address, undefined)]
      return new Set([...plain, ...all.flatMap((each) => plain.map(each.text))])
    },
  }
}

/** The recipient in a text of the store, with the normal form that stands in keys; `undefined` without one. */
export function recipientIn(stored: Stored, text: string | undefined): Address | undefined {
  return text === undefined ? undefined : stored.recipient(addressIn(text))
}

/** The address in a text of the store, which may be a hash. */
export function addressIn(text: string): Address {
  return isConcealed(text) ? { text, local: text, domain: '', normal: text } : parseAddress(text)
}
