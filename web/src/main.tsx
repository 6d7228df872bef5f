import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";
import { Speaking } from "./language";
import { Telling } from "./notices";
import "./style.css";

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <Speaking>
      <Telling>
        <App />
      </Telling>
    </Speaking>
  </StrictMode>,
);
