// One process of an application: it handles an error, or ends by one that it does not handle.
import * as Sentry from "@sentry/node";

const [dsn, release, user, end] = process.argv.slice(2);
Sentry.init({ dsn, release, environment: "production", tracesSampleRate: 0 });
Sentry.setUser({ id: user });
if (end === "handled") Sentry.captureException(new Error("handled"));
if (end === "crash") throw new Error("not handled");
