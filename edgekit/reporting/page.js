
"use strict";
// The page says everything without this script: it only sorts tables and changes the theme.
const theme = document.getElementById("theme");
const dark = () => (document.documentElement.dataset.theme ||
  (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const named = () => { theme.textContent = dark() ? "Light" : "Dark"; theme.setAttribute("aria-label", theme.textContent + " theme"); };
theme.addEventListener("click", () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; named(); });
theme.hidden = false;
named();

const key = (row, column) => {
  const cell = row.cells[column];
  return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
};
const order = (a, b, up) => {
  if (a === "" || b === "") return (a === "") - (b === "");  // what is not known stays last
  const sign = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  return up ? sign : -sign;
};
for (const head of document.querySelectorAll("thead th")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = head.closest("table").tBodies[0];
    const rows = [...body.rows].sort((a, b) => order(key(a, head.cellIndex), key(b, head.cellIndex), up));
    body.append(...rows);
  });
}
