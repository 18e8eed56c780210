// The map: the example under the pointer is shown beside it, with the card it has in the page.
const detail = document.getElementById("detail");
const others = document.getElementById("others");

function cardOf(id) {
  return document.getElementById(`example-${id}`) ?? others.content.getElementById(`other-${id}`);
}

function hold(id) {
  const card = cardOf(id).cloneNode(true);
  card.removeAttribute("id");
  card.querySelector("details")?.remove();
  detail.querySelector(".held").replaceChildren(card);
  detail.dataset.id = id;
}

document.getElementById("map")?.addEventListener("drawn", ({ detail: view }) => {
  detail.hidden = false;
  let kept = false;
  view.addEventListener("pointerover", (_, item) => {
    if (item?.datum?.id !== undefined && !kept) hold(item.datum.id);
  });
  view.addEventListener("click", (_, item) => {
    kept = item?.datum?.id !== undefined;
    if (kept) hold(item.datum.id);
  });
});

// The gallery: without JavaScript all of it stands in the page.
const gallery = document.querySelector(".cards");
if (gallery) {
  const more = document.getElementById("more");
  const filter = document.querySelector(".filter");
  const count = document.getElementById("count");
  let wanted = "all";
  let most = Number(gallery.dataset.first);

  const show = () => {
    const fitting = [...gallery.children].filter(
      (one) => wanted === "all" || one.firstElementChild.dataset.verdict === wanted,
    );
    const shown = new Set(fitting.slice(0, most));
    for (const one of gallery.children) one.hidden = !shown.has(one);
    more.hidden = shown.size === fitting.length;
    more.textContent = `Show all ${fitting.length}`;
    count.textContent = `${shown.size} of ${fitting.length}`;
  };
  filter.hidden = filter.querySelectorAll("input").length < 3;
  filter.addEventListener("change", (event) => {
    wanted = event.target.value;
    show();
  });
  more.addEventListener("click", () => {
    const next = [...gallery.children].find((one) => one.hidden);
    most = Infinity;
    show();
    next?.querySelector("summary")?.focus({ preventScroll: true });
  });
  // On paper everything that is there is shown.
  addEventListener("beforeprint", () => {
    for (const one of gallery.children) one.hidden = false;
  });
  addEventListener("afterprint", show);
  show();
}
