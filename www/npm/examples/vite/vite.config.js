import piecework from "piecework/vite";

export default { plugins: [piecework()] };
