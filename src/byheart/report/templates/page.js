// The filter is of no use without JavaScript, so it is shown here.
const filter = document.querySelector(".filter");
filter.hidden = false;
filter.addEventListener("change", (event) => {
  const wanted = event.target.value;
  for (const claim of document.querySelectorAll(".verdicts tbody")) {
    claim.hidden = wanted !== "all" && claim.dataset.verdict !== wanted;
  }
});

drawAll();
