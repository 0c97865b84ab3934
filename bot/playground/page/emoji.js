/** Short names for the emoji that people and bots use in work talk. */

const TABLE = `
+1 👍|thumbsup 👍|-1 👎|thumbsdown 👎|ok_hand 👌|clap 👏|raised_hands 🙌|pray 🙏|wave 👋|muscle 💪|point_right 👉
point_left 👈|point_up 👆|point_down 👇|raised_hand ✋|handshake 🤝|crossed_fingers 🤞|v ✌️|writing_hand ✍️|eyes 👀|brain 🧠
smile 😄|smiley 😃|grinning 😀|grin 😁|joy 😂|rofl 🤣|sweat_smile 😅|slightly_smiling_face 🙂|wink 😉|blush 😊|heart_eyes 😍
thinking_face 🤔|thinking 🤔|neutral_face 😐|expressionless 😑|unamused 😒|grimacing 😬|relieved 😌|sleeping 😴|sunglasses 😎
nerd_face 🤓|confused 😕|worried 😟|cry 😢|sob 😭|scream 😱|rage 😡|exploding_head 🤯|face_palm 🤦|shrug 🤷|partying_face 🥳
salute 🫡|saluting_face 🫡|melting_face 🫠|robot_face 🤖|ghost 👻|skull 💀|heart ❤️|blue_heart 💙|green_heart 💚|yellow_heart 💛
purple_heart 💜|broken_heart 💔|100 💯|fire 🔥|sparkles ✨|star ⭐|star2 🌟|zap ⚡|boom 💥|tada 🎉|confetti_ball 🎊|balloon 🎈
gift 🎁|trophy 🏆|medal 🏅|rocket 🚀|ship 🚢|airplane ✈️|car 🚗|construction 🚧|building_construction 🏗️|hammer 🔨|wrench 🔧
hammer_and_wrench 🛠️|gear ⚙️|nut_and_bolt 🔩|toolbox 🧰|microscope 🔬|telescope 🔭|test_tube 🧪|thread 🧵|needle 🪡|scissors ✂️
safety_pin 🧷|knot 🪢|white_check_mark ✅|heavy_check_mark ✔️|ballot_box_with_check ☑️|x ❌|negative_squared_cross_mark ❎
warning ⚠️|no_entry ⛔|no_entry_sign 🚫|octagonal_sign 🛑|stop_sign 🛑|question ❓|grey_question ❔|exclamation ❗|bangbang ‼️
information_source ℹ️|bulb 💡|bell 🔔|no_bell 🔕|mega 📣|loudspeaker 📢|lock 🔒|unlock 🔓|key 🔑|shield 🛡️|link 🔗|paperclip 📎
pushpin 📌|round_pushpin 📍|memo 📝|pencil 📝|pencil2 ✏️|page_facing_up 📄|clipboard 📋|books 📚|book 📖|bookmark 🔖|package 📦
file_folder 📁|open_file_folder 📂|card_index_dividers 🗂️|bar_chart 📊|chart_with_upwards_trend 📈|chart_with_downwards_trend 📉
calendar 📅|date 📅|hourglass ⌛|hourglass_flowing_sand ⏳|stopwatch ⏱️|alarm_clock ⏰|watch ⌚|computer 💻|desktop_computer 🖥️
keyboard ⌨️|iphone 📱|bug 🐛|ant 🐜|snail 🐌|turtle 🐢|rabbit 🐰|cat 🐱|dog 🐶|bear 🐻|panda_face 🐼|owl 🦉|bee 🐝|unicorn 🦄
seedling 🌱|herb 🌿|evergreen_tree 🌲|cactus 🌵|rose 🌹|sunflower 🌻|sunny ☀️|cloud ☁️|rain_cloud 🌧️|snowflake ❄️|rainbow 🌈
moon 🌙|earth_africa 🌍|coffee ☕|tea 🍵|beer 🍺|pizza 🍕|cake 🍰|birthday 🎂|cookie 🍪|apple 🍎|popcorn 🍿|musical_note 🎵
art 🎨|game_die 🎲|dart 🎯|jigsaw 🧩|crystal_ball 🔮|checkered_flag 🏁|triangular_flag_on_post 🚩|flag-eu 🇪🇺|recycle ♻️
repeat 🔁|arrows_counterclockwise 🔄|twisted_rightwards_arrows 🔀|arrow_right ➡️|arrow_left ⬅️|arrow_up ⬆️|arrow_down ⬇️
fast_forward ⏩|rewind ⏪|arrow_forward ▶️|double_vertical_bar ⏸️|black_square_for_stop ⏹️|heavy_plus_sign ➕|heavy_minus_sign ➖
red_circle 🔴|large_yellow_circle 🟡|large_green_circle 🟢|large_blue_circle 🔵|white_circle ⚪|black_circle ⚫|large_orange_circle 🟠
one 1️⃣|two 2️⃣|three 3️⃣|four 4️⃣|five 5️⃣|mailbox 📫|email 📧|envelope ✉️|inbox_tray 📥|outbox_tray 📤|speech_balloon 💬
thought_balloon 💭|zzz 💤|see_no_evil 🙈|hear_no_evil 🙉|speak_no_evil 🙊|new 🆕|ok 🆗|sos 🆘|up 🆙|free 🆓|cool 🆒`;

/** @type {Map<string, string>} */
const BY_NAME = new Map(
  TABLE.trim()
    .split(/[|\n]/)
    .map((entry) => /** @type {[string, string]} */ (entry.split(" "))),
);

/**
 * The character of a short name (a skin tone after `::` is ignored), or null for one we do not know.
 * @param {string} name
 * @returns {string | null}
 */
export function emojiCharacter(name) {
  return BY_NAME.get(name.split("::")[0]) ?? null;
}

/** The short name of each character; the first one listed wins. */
const BY_CHARACTER = new Map([...BY_NAME].reverse().map(([name, character]) => [character, name]));
const CHARACTERS = new RegExp(
  `(${[...BY_CHARACTER.keys()].sort((a, b) => b.length - a.length).join("|")})`,
  "u",
);

/**
 * Cut a text at the emoji in it: texts and short names take turns, beginning with a text.
 * @param {string} text
 * @returns {string[]}
 */
export function splitAtEmoji(text) {
  return text
    .split(CHARACTERS)
    .map((part, index) => (index % 2 ? /** @type {string} */ (BY_CHARACTER.get(part)) : part));
}

/**
 * Short names that contain the words typed, those that begin with them first.
 * @param {string} query
 * @param {number} limit
 * @returns {{name: string, character: string}[]}
 */
export function findEmoji(query, limit) {
  const found = [...BY_NAME].filter(([name]) => name.includes(query));
  found.sort(([a], [b]) => Number(b.startsWith(query)) - Number(a.startsWith(query)));
  return found.slice(0, limit).map(([name, character]) => ({ name, character }));
}
