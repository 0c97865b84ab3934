import { addToBasket, countItems } from "./basket.js";
import { renderFooter } from "./footer.js";
import { renderHeader } from "./header.js";
import { renderProductCard } from "./product-card.js";
import { products } from "./products.js";

let basket = [];

function show() {
  document.querySelector("#header").innerHTML = renderHeader({ itemCount: countItems(basket) });
  document.querySelector("#products").innerHTML = products.map(renderProductCard).join("");
  document.querySelector("#footer").innerHTML = renderFooter({ year: new Date().getFullYear() });
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-add]");
  if (button) {
    basket = addToBasket(basket, button.dataset.add);
    show();
  }
});

show();
