import "./style.css";
import "./job.css";
import "./views.css";
import "./floating.css";

import { render } from "preact";

import { openSession } from "./api/client";
import { App } from "./app";
import { followLinks } from "./router";
import { startStream } from "./stream/changes";

document.addEventListener("click", followLinks);
startStream();
void openSession();
render(<App />, document.getElementById("app") as HTMLElement);
