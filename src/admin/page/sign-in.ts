// The view in which an operator signs in with a token.

import { html } from 'hono/html'
import { type Frame, type Html, problem } from './layout.ts'

/** `to` is the path to go to afterwards; `refused` says why the last try was in vain. */
export function signInForm(
  { base }: Frame,
  { to, hasTokens, refused }: { readonly to: string; readonly hasTokens: boolean; readonly refused?: string },
): Html {
  if (!hasTokens)
    return html`<p>Nobody can sign in: there are no tokens. Make a file with a line <code>NAME TOKEN</code>, the token by
<code>openssl rand -hex 24</code>, let only greymx read it, name it in milter.yaml as <code>admin_tokens</code>, and
reload greymx.</p>
`
  return html`${refused === undefined ? '' : problem(refused)}
<form method="post" action="${base}/sign-in" class="card sign-in">
<input type="hidden" name="to" value="${to}">
<p><label for="token">Token</label><input id="token" name="token" type="password" required autocomplete="current-password" maxlength="1000"></p>
<p><small>One of the file that <code>admin_tokens</code> names in milter.yaml.</small></p>
<button>Sign in</button>
</form>
`
}
