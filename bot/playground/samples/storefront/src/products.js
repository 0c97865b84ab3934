export const products = [
  {
    id: "lamp",
    name: "Task lamp",
    description: "Warm light, a long arm and a heavy foot.",
    priceCents: 6900,
    stock: 12,
  },
  {
    id: "notebook",
    name: "Dotted notebook",
    description: "160 pages that lie flat.",
    priceCents: 1450,
    stock: 80,
  },
  {
    id: "pen",
    name: "Fine pen",
    description: "Writes at once, never smudges.",
    priceCents: 320,
    stock: 240,
  },
  {
    id: "tray",
    name: "Oak tray",
    description: "For keys, clips and everything without a place.",
    priceCents: 3800,
    stock: 0,
  },
];

export function findProduct(id) {
  return products.find((product) => product.id === id);
}
