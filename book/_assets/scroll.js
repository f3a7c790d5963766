// Whatever scrolls inside its own box must be within reach of the keyboard.
function reachScrollers() {
  for (const box of document.querySelectorAll(".bd-article table, .bd-article figure, .player > div")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}

addEventListener("load", reachScrollers);
addEventListener("resize", reachScrollers);
