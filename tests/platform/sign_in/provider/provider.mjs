// An OpenID provider for the tests of sign-in: a certified implementation, with accounts from a file.
//
//   node provider.mjs WORLD.json
//
// The file has `port` (0 for a free one), `clients` (as the implementation takes them), `accounts`, and
// `expired`: access tokens whose hour is over. An account is {"login", "password", "claims"} under its
// `sub`. Accounts and expired tokens are read anew for every question, so a test changes them while the
// provider runs. Once it answers, the provider prints its issuer on a line of its own.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

import Provider from 'oidc-provider';

const file = process.argv[2];
const readWorld = () => JSON.parse(readFileSync(file, 'utf8'));
const world = readWorld();

const server = createServer();
server.listen(world.port, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;

const signingKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });

const provider = new Provider(issuer, {
  clients: world.clients,
  clientAuthMethods: ['client_secret_basic', 'client_secret_post'],
  jwks: { keys: [{ ...signingKey, use: 'sig', alg: 'RS256' }] },
  cookies: { keys: [randomBytes(32).toString('base64url')] },
  pkce: { required: () => true },
  scopes: ['openid', 'profile', 'email', 'offline_access'],
  claims: {
    openid: ['sub'],
    profile: ['name', 'preferred_username', 'groups', 'https://example.org/groups'],
    email: ['email', 'email_verified'],
  },
  ttl: {
    AccessToken: 3600,
    AuthorizationCode: 60,
    Grant: 86400,
    IdToken: 3600,
    Interaction: 600,
    RefreshToken: 86400,
    Session: 86400,
  },
  // Many providers give a refresh token to every client that may use one. A refresh token is good for one
  // use, and a second use ends the whole grant, as RFC 9700, section 4.14.2, has it.
  issueRefreshToken: (context, client) => client.grantTypeAllowed('refresh_token'),
  rotateRefreshToken: true,
  features: {
    devInteractions: { enabled: false },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (context, form) => {
        context.body = page(
          'Sign out of Example University?',
          `${form}<button type="submit" form="op.logoutForm" name="logout" value="yes">Sign out</button>`,
        );
      },
      postLogoutSuccessSource: (context) => {
        context.body = page('Signed out of Example University', '');
      },
    },
  },
  interactions: { url: (context, interaction) => `/sign-in/${interaction.uid}` },
  findAccount: (context, id) => {
    const account = readWorld().accounts[id];
    return account && { accountId: id, claims: () => ({ ...account.claims, sub: id }) };
  },
  // Nobody is asked for consent: the client is the institution's own.
  loadExistingGrant: async (context) => {
    const { client, session, provider: implementation } = context.oidc;
    const known = session.grantIdFor(client.clientId);
    if (known) return implementation.Grant.find(known);
    const grant = new implementation.Grant({ accountId: session.accountId, clientId: client.clientId });
    grant.addOIDCScope('openid profile email offline_access');
    await grant.save();
    return grant;
  },
});

const answer = provider.callback();
server.on('request', (request, response) => {
  if (request.url.startsWith('/sign-in/')) {
    signIn(request, response).catch((error) => {
      response.writeHead(500, { 'content-type': 'text/plain' }).end(error.message);
    });
  } else if (readWorld().expired.some((token) => request.headers.authorization === `Bearer ${token}`)) {
    response.writeHead(401, { 'www-authenticate': 'Bearer error="invalid_token"' }).end();
  } else {
    answer(request, response);
  }
});

// Why it refused goes to the log; the client is told little.
for (const event of ['authorization.error', 'grant.error', 'userinfo.error', 'server_error']) {
  provider.on(event, (context, error) => {
    console.error(`${event}: ${error.message}: ${error.error_detail ?? error.error_description ?? ''}`);
  });
}

console.log(issuer);

async function signIn(request, response) {
  const { params } = await provider.interactionDetails(request, response);
  let refused = '';
  if (request.method === 'POST') {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const form = new URLSearchParams(Buffer.concat(chunks).toString('utf8'));
    if (form.has('cancel')) {
      await provider.interactionFinished(request, response, {
        error: 'access_denied',
        error_description: 'The person cancelled the sign-in',
      });
      return;
    }
    const found = Object.entries(readWorld().accounts).find(
      ([, account]) => account.login === form.get('login') && account.password === form.get('password'),
    );
    if (found) {
      await provider.interactionFinished(request, response, { login: { accountId: found[0] } });
      return;
    }
    refused = '<p role="alert">Wrong name or password.</p>';
  }
  response.writeHead(refused ? 403 : 200, { 'content-type': 'text/html; charset=utf-8' });
  response.end(
    page(
      'Example University',
      `${refused}<form method="post" action="${request.url}">
        <p>Sign in to go on to ${params.client_id}.</p>
        <label>Name <input name="login" autocomplete="username"></label>
        <label>Password <input name="password" type="password" autocomplete="current-password"></label>
        <button type="submit">Sign in</button>
        <button type="submit" name="cancel" value="yes">Cancel</button>
      </form>`,
    ),
  );
}

function page(title, body) {
  return `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>${title}</title></head>
<body><h1>${title}</h1>${body}</body></html>`;
}
