// Package access decides who may use a server: on which address it may listen,
// under which names it is reached, from which sites it is posted to, and by whom.
//
// A [Guard] stands before a handler and looks at each request in this order:
//
//   - The Host header names this machine, or a name that was allowed. So no web
//     page can reach the server by giving its own name a loopback address.
//   - A browser does not send it from another site.
//   - Its sender is known: a bearer token for scripts, or the session cookie that
//     the login page gives for the password. Without a password and a token
//     everybody is known, and [CheckListen] lets no server be reached from other
//     machines like that by accident.
//
// # What is guaranteed
//
// Passwords and tokens are compared in a time that does not depend on what is
// sent. They are in no error, no log and no page. A session ends after a time, by
// logging out, and with the process.
//
// # What is not
//
// The guard does not encrypt: beyond this machine it belongs behind TLS. Trying
// passwords is slowed down for each address, which behind a proxy is one address
// for all. There is one password and one token, and no roles.
package access
